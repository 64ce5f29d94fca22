# Run at build time: writes build_info.cpp, and only if it changed, so that nothing is rebuilt for nothing.
execute_process(COMMAND git -C ${SOURCE_DIR} rev-parse HEAD OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE no_git)
set(dirty false)
if(no_git)
  set(commit "")
else()
  execute_process(COMMAND git -C ${SOURCE_DIR} status --porcelain --untracked-files=no OUTPUT_VARIABLE changes ERROR_QUIET)
  if(NOT changes STREQUAL "")
    set(dirty true)
  endif()
endif()
file(WRITE ${OUTPUT}.new "#include \"session/build_info.h\"
namespace lra::session {
const char* const kVersion = \"${VERSION}\";
const char* const kCompiler = \"${COMPILER}\";
const char* const kFlags = \"${FLAGS}\";
const char* const kBuildType = \"${BUILD_TYPE}\";
const char* const kSanitizer = \"${SANITIZER}\";
const char* const kCommit = \"${commit}\";
const bool kDirty = ${dirty};
}  // namespace lra::session
")
file(COPY_FILE ${OUTPUT}.new ${OUTPUT} ONLY_IF_DIFFERENT)
