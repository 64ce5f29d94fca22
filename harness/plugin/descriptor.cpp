// ELF64, little-endian: header -> table of sections -> names -> the section's bytes (System V gABI, chapter 4).
#include "plugin/descriptor.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "core/error.h"

namespace lra {
namespace {

#if defined(__x86_64__)
constexpr unsigned kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kMachine = EM_AARCH64;
#else
#error "name this machine's ELF number here"
#endif

constexpr std::string_view kSection = LRA_DESCRIPTOR_SECTION;

// Reads plain structs out of a file without trusting any of its numbers.
class FileView {
 public:
  FileView(const unsigned char* data, std::size_t size) : data_(data), size_(size) {}

  const unsigned char* at(uint64_t offset, uint64_t length) const {
    if (offset > size_ || length > size_ - offset) {
      refuse_library(
          fmt::format("truncated: it refers to byte {} of {}; build it again", double(offset) + double(length), size_));
    }
    return data_ + offset;
  }
  template <class T>
  T read(uint64_t offset) const {
    T out;
    std::memcpy(&out, at(offset, sizeof(T)), sizeof(T));
    return out;
  }

 private:
  const unsigned char* data_;
  std::size_t size_;
};

template <std::size_t size>
std::string text_of(const char (&field)[size]) {
  return {field, std::find(field, field + size, '\0')};
}

}  // namespace

bool is_identifier(const std::string& name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

void refuse_library(const std::string& why) { throw Error(ErrorKind::kPlugin, why); }

Descriptor read_descriptor(const unsigned char* file, std::size_t size) {
  if (size < sizeof(Elf64_Ehdr) || std::memcmp(file, ELFMAG, SELFMAG) != 0)
    refuse_library("not a shared library (ELF)");
  const FileView bytes(file, size);
  const auto header = bytes.read<Elf64_Ehdr>(0);
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != kMachine || header.e_type != ET_DYN) {
    refuse_library("not a shared library for this machine");
  }
  if (header.e_shentsize != sizeof(Elf64_Shdr) || header.e_shstrndx >= header.e_shnum) {
    refuse_library("its table of sections is missing or damaged; build it again");
  }
  const auto section = [&](uint64_t i) {
    bytes.at(header.e_shoff, (i + 1) * sizeof(Elf64_Shdr));
    return bytes.read<Elf64_Shdr>(header.e_shoff + i * sizeof(Elf64_Shdr));
  };
  const Elf64_Shdr names = section(header.e_shstrndx);
  const auto* name_bytes = bytes.at(names.sh_offset, names.sh_size);

  for (uint64_t i = 0; i < header.e_shnum; ++i) {
    const Elf64_Shdr s = section(i);
    // The name with its NUL must fit into the table of names.
    if (s.sh_type != SHT_PROGBITS || s.sh_name >= names.sh_size || names.sh_size - s.sh_name <= kSection.size() ||
        std::memcmp(name_bytes + s.sh_name, kSection.data(), kSection.size() + 1) != 0) {
      continue;
    }
    if (s.sh_size < sizeof(lra_descriptor)) refuse_library("its descriptor is too short; build it again");
    bytes.at(s.sh_offset, s.sh_size);
    const auto d = bytes.read<lra_descriptor>(s.sh_offset);
    if (std::memcmp(d.magic, LRA_DESCRIPTOR_MAGIC, sizeof(d.magic)) != 0 || d.struct_size < sizeof(lra_descriptor)) {
      refuse_library("its descriptor is damaged; build it again");
    }
    return {d.abi_major, d.abi_minor, d.real_bytes, text_of(d.id), text_of(d.build), text_of(d.sanitizer)};
  }
  refuse_library(fmt::format("not an attention variant: it has no section {}", kSection));
}

void check_descriptor(const Descriptor& d) {
  if (d.abi_major != LRA_ABI_MAJOR || d.abi_minor > LRA_ABI_MINOR) {
    refuse_library(fmt::format("built for contract {}.{}, this program has {}.{}; build it against this version",
                               d.abi_major, d.abi_minor, LRA_ABI_MAJOR, LRA_ABI_MINOR));
  }
  if (d.real_bytes != sizeof(lra_real)) {
    refuse_library(
        fmt::format("computes with numbers of {} bytes, this program with {}; build both with the same LRA_REAL",
                    d.real_bytes, sizeof(lra_real)));
  }
  static constexpr std::string_view kSanitizer = LRA_SANITIZER;
  if (d.sanitizer != kSanitizer) {
    const auto named = [](const std::string& s) { return s.empty() ? "no sanitizer" : "sanitizer '" + s + "'"; };
    refuse_library(fmt::format("built with {}, this program with {}; build both alike", named(d.sanitizer),
                               named(std::string(kSanitizer))));
  }
  if (!is_identifier(d.id)) refuse_library(fmt::format("its id '{}' is not made of a-z, 0-9 and _", d.id));
}

}  // namespace lra
