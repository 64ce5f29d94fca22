// The published file formats: each writes the examples of a split and reads them back, example by example.
//   listops-tsv     basic_{train,val,test}.tsv: header, then expression <tab> value
//   pathfinder-png  <set>/<folder>/imgs/<batch>/sample_<i>.png and <set>/<folder>/metadata/<batch>.npy, which is text
//   idx             {train,validation,t10k}-images-idx3-ubyte.gz and -labels-idx1-ubyte.gz
//   imdb-tsv        imdb_{train,validation,test}.tsv: label <tab> id <tab> text
//   aan-tsv         new_aan_pairs.{train,eval,test}.tsv: label <tab> id <tab> id <tab> text <tab> text
//   tokens-tsv      tokens_{train,validation,test}.tsv: header, then label <tab> token numbers, of a pair twice; our
//   own
#ifndef LRA_TOOLS_DATA_FORMS_H
#define LRA_TOOLS_DATA_FORMS_H

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "core/json.h"
#include "core/parallel.h"
#include "data/dataset.h"
#include "tools/data/chosen.h"

namespace lra::datatool {

// Where an example stands, for messages.
struct Place {
  std::string file;
  int64_t row = 0;  // from 1; of a file of tables or pictures
};

struct Example {
  int32_t label = 0;
  std::vector<std::vector<data::Token>> parts;  // one sequence, or two of a pair
};

// What is written.
struct Source {
  const Chosen& chosen;
  const data::Dataset& data;
  data::SplitName split;
  Workers& workers;
};

// What is read: a folder, and what was noted when it was written.
struct Stored {
  std::string folder;
  Json layout;  // as Form::write returned it
  data::Shape shape;
  int64_t examples = 0;
};
using Take = std::function<void(const Place& place, const Example& example)>;

class Form {
 public:
  virtual ~Form() = default;
  virtual const char* name() const = 0;
  // Writes the split below `folder`; returns what read() must know to find it. Throws Error(kUsage) for data that the
  // format cannot hold.
  virtual Json write(const Source& source, const std::string& folder) const = 0;
  // Calls take() in the order written. Throws Error(kData) with file and row.
  virtual void read(const Stored& stored, const Take& take) const = 0;
};

// By name; nullptr if there is none.
const Form* find_form(const std::string& name);
// The published form of a task, or tokens-tsv where nobody published one.
const Form& form_of(const std::string& task, const data::Shape& shape);

[[noreturn]] void bad_row(const Place& place, const std::string& reason);
// layout[name]; throws Error(kData) if it is not there or of another type.
std::string text_in(const Json& layout, const char* name);
int64_t number_in(const Json& layout, const char* name);
// The same for a file or a folder that lies in the exported one; throws Error(kData) for one that lies elsewhere.
std::string file_in(const Json& layout, const char* name);

const Form& listops_tsv();
const Form& imdb_tsv();
const Form& aan_tsv();
const Form& tokens_tsv();
const Form& idx();
const Form& pathfinder_png();

// The gray of a token of `levels`, the darkest that becomes this token again: floor(gray * levels / 256) = token.
inline unsigned char gray_of(data::Token token, int64_t levels) {
  return static_cast<unsigned char>((256 * token + levels - 1) / levels);
}
inline data::Token token_of(unsigned char gray, int64_t levels) {
  return static_cast<data::Token>(gray * levels / 256);
}

}  // namespace lra::datatool

#endif  // LRA_TOOLS_DATA_FORMS_H
