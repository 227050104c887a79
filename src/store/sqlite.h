// A thin typed layer over SQLite's C interface: statements that bind, step and reset, transactions that roll back
// unless committed. Errors of the database become Results here and nowhere else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace ebb::store {

class SqliteDatabase;

/// One use of a prepared statement; the statement is reset when this goes.
class SqliteQuery {
 public:
  SqliteQuery(SqliteDatabase& database, sqlite3_stmt* statement) : database_(&database), statement_(statement) {}
  ~SqliteQuery();
  SqliteQuery(SqliteQuery&& other) noexcept;
  SqliteQuery& operator=(SqliteQuery&&) = delete;
  SqliteQuery(const SqliteQuery&) = delete;

  /// Binds the next parameter. Text is copied.
  SqliteQuery& bind(std::string_view text);
  SqliteQuery& bind(std::int64_t number);
  /// As a blob: any bytes. Not copied, they stay until the query goes.
  SqliteQuery& bind_bytes(std::string_view bytes);

  /// True when there is a row to read.
  base::Result<bool> step();
  /// For statements without rows.
  base::Result<void> run();

  std::int64_t number(int column) const;
  /// Of a blob its bytes.
  std::string text(int column) const;

 private:
  SqliteDatabase* database_;
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

/// One connection. Threads: one at a time (the caller locks).
class SqliteDatabase {
 public:
  /// Opens or creates the file with write-ahead log, full sync and foreign keys.
  /// Errors: kInternal naming the file and the remedy when it is damaged or not a database.
  static base::Result<std::unique_ptr<SqliteDatabase>> open(const std::string& path);
  /// A further connection to a file that open() gave one to, for reading: it sees what was committed before each of its
  /// statements, and waits for no writer. To be closed before that one. Errors: as open.
  static base::Result<std::unique_ptr<SqliteDatabase>> open_to_read(const std::string& path);
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  /// Runs statements without parameters or rows.
  base::Result<void> execute(const char* sql);
  /// `sql` is a literal: its address is the key under which the prepared statement is kept.
  base::Result<SqliteQuery> query(const char* sql);
  std::int64_t last_insert_id() const;
  /// The connection's last failure as an Error.
  base::Error error() const;

 private:
  struct Statements;
  SqliteDatabase(sqlite3* handle, std::string path);
  static base::Result<std::unique_ptr<SqliteDatabase>> connect(const std::string& path, int flags);
  base::Result<void> prepare_file();

  sqlite3* handle_;
  std::string path_;
  std::unique_ptr<Statements> statements_;
};

/// Begins at construction, rolls back at destruction unless commit() succeeded.
class SqliteTransaction {
 public:
  static base::Result<SqliteTransaction> begin(SqliteDatabase& database);
  ~SqliteTransaction();
  SqliteTransaction(SqliteTransaction&& other) noexcept;
  SqliteTransaction& operator=(SqliteTransaction&&) = delete;
  SqliteTransaction(const SqliteTransaction&) = delete;

  base::Result<void> commit();

 private:
  explicit SqliteTransaction(SqliteDatabase& database) : database_(&database) {}
  SqliteDatabase* database_;
};

}  // namespace ebb::store
