#include "cli/one_function.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "model/manifest.h"

namespace ebb::cli {

base::Result<Subject> parse_new_function(const std::string& name) {
  EBB_TRY(Subject subject, parse_subject(name));
  if (!subject.version.empty()) return base::invalid_argument("a version is made by the deployment, name APP/FUNCTION");
  if (subject.function.empty()) subject.function = subject.app;
  return subject;
}

base::Result<std::string> manifest_of_one(const Subject& subject, boost::json::object function) {
  const boost::json::object functions{{subject.function, std::move(function)}};
  // JSON is YAML.
  std::string text = boost::json::serialize(boost::json::object{{"app", subject.app}, {"functions", functions}});
  const auto manifest = model::parse_manifest(text);
  if (manifest) return text;
  base::Error error = manifest.error();
  constexpr std::string_view kLine = "line 1: ";  // nobody has seen that file
  if (error.message.starts_with(kLine)) error.message.erase(0, kLine.size());
  return error;
}

base::Result<> check_alone(const Session& session, const Subject& subject) {
  const auto answer = session.rest().get("/api/v1/functions?app=" + encoded(subject.app));
  if (!answer && answer.error().code == base::Code::kNotFound) return {};
  if (!answer) return answer.error();
  for (const auto* function : objects_in(answer->object, "functions")) {
    if (text_of(*function, "function") == subject.function) continue;
    return base::Error{.code = base::Code::kConflict,
                       .message = "app " + subject.app + " has the function " + text_of(*function, "function") +
                                  " too, which a deployment of this one alone would remove: add it to the app's "
                                  "ebb.yaml, or name another app"};
  }
  return {};
}

}  // namespace ebb::cli
