// An app that is one function, made of an image or a zip alone: its ebb.yaml, which nobody has written. Called by
// deploy_image.cc and deploy_zip.cc.
#pragma once

#include <boost/json/fwd.hpp>
#include <string>

#include "base/result.h"
#include "cli/commands.h"

namespace ebb::cli {

/// "APP/FUNCTION"; APP alone names the function as the app. Errors: kInvalidArgument.
base::Result<Subject> parse_new_function(const std::string& name);

/// The text of its ebb.yaml, checked as any other. Errors: kInvalidArgument with the key.
base::Result<std::string> manifest_of_one(const Subject& subject, boost::json::object function);

/// A deployment replaces all of an app: kConflict when it has other functions.
base::Result<> check_alone(const Session& session, const Subject& subject);

}  // namespace ebb::cli
