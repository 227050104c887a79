// The precompiled header of this part: CLI11 and Boost.JSON, which every command includes. Included by the build only.
#pragma once

#include <CLI/App.hpp>
#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>
