// Facts of the build, written by cmake/BuildInfo.cmake at every build.
#ifndef LRA_SESSION_BUILD_INFO_H
#define LRA_SESSION_BUILD_INFO_H

namespace lra::session {

extern const char* const kVersion;
extern const char* const kCompiler;  // "GNU 12.2.0"
extern const char* const kFlags;
extern const char* const kBuildType;  // "Release"
extern const char* const kSanitizer;  // "" or "address,undefined"
extern const char* const kCommit;     // 40 hex digits, or "" outside a repository
extern const bool kDirty;             // the tree differed from that commit

}  // namespace lra::session

#endif  // LRA_SESSION_BUILD_INFO_H
