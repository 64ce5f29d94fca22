// Who a library is, read from its bytes: the section ".lra_plugin" of an ELF64 file. No code of the library runs.
#ifndef LRA_PLUGIN_DESCRIPTOR_H
#define LRA_PLUGIN_DESCRIPTOR_H

#include <cstddef>
#include <string>

#include "abi/attention.h"

namespace lra {

// What one library declares; text fields are NUL-terminated here whatever the file holds.
struct Descriptor {
  unsigned abi_major = 0, abi_minor = 0;
  unsigned real_bytes = 0;
  std::string id, build, sanitizer;
};

// Parses the file's bytes; every offset is checked. Throws Error(kPlugin) with one sentence without the path: not an
// ELF file, truncated, no descriptor, damaged descriptor.
Descriptor read_descriptor(const unsigned char* file, std::size_t size);

// Throws Error(kPlugin) with one sentence if this program cannot use such a library: contract version, scalar type,
// sanitizer, form of the id.
void check_descriptor(const Descriptor& descriptor);

// Throws Error(kPlugin) with that sentence.
[[noreturn]] void refuse_library(const std::string& why);

// [a-z0-9_]+
bool is_identifier(const std::string& name);

}  // namespace lra

#endif  // LRA_PLUGIN_DESCRIPTOR_H
