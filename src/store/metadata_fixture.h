// For tests of the metadata: the real database in a temporary directory, reopened where it matters.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>

#include "store/sqlite_metadata.h"
#include "store/temp_dir.h"

namespace ebb::store {

class MetadataFixture : public testing::Test {
 protected:
  MetadataFixture() { reopen(); }

  void reopen() {
    metadata_.reset();
    auto opened = SqliteMetadata::open(file());
    ASSERT_TRUE(opened) << opened.error().message;
    metadata_ = std::move(*opened);
  }
  std::string file() const { return (temp_.path() / "ebb.db").string(); }

  TempDir temp_;
  std::unique_ptr<SqliteMetadata> metadata_;
};

}  // namespace ebb::store
