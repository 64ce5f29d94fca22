// The arena is one anonymous mapping; the kernel tells which pages were ever touched.
#include "core/plan.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/error.h"

namespace lra {

const char* memory_name(Memory category) {
  switch (category) {
    case Memory::kParameters:
      return "parameters";
    case Memory::kGradients:
      return "gradients";
    case Memory::kOptimizer:
      return "optimizer";
    case Memory::kSaved:
      return "saved";
    case Memory::kScratch:
      return "scratch";
    case Memory::kData:
      return "data";
  }
  return "";
}

Block Plan::reserve(Memory category, std::size_t bytes) {
  const Block block{total_, bytes};
  total_ += aligned(bytes);
  by_category_[static_cast<std::size_t>(category)] += aligned(bytes);
  return block;
}

Arena::Arena(const Plan& plan) : bytes_(plan.total()) {
  if (bytes_ == 0) return;
  void* base = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    throw Error(
        ErrorKind::kIo,
        fmt::format("memory: the system refuses {} bytes; choose a smaller --batch, --length or --dim", bytes_));
  }
  base_ = static_cast<unsigned char*>(base);
}

Arena::~Arena() {
  if (base_ != nullptr) munmap(base_, bytes_);
}

std::size_t Arena::high_water() const {
  if (base_ == nullptr) return 0;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident((bytes_ + page - 1) / page);
  if (mincore(base_, bytes_, resident.data()) != 0) return bytes_;
  std::size_t pages = 0;
  for (const unsigned char flag : resident) pages += flag & 1u;
  return pages * page;
}

}  // namespace lra
