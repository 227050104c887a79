#include "store/sqlite.h"

#include <sqlite3.h>

#include <unordered_map>
#include <utility>

namespace ebb::store {
namespace {

constexpr int kBusyTimeoutMs = 5000;  // only another process, such as a backup, can hold the lock

}  // namespace

struct SqliteDatabase::Statements {
  std::unordered_map<const char*, sqlite3_stmt*> by_text;
};

SqliteQuery::~SqliteQuery() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

SqliteQuery::SqliteQuery(SqliteQuery&& other) noexcept
    : database_(other.database_), statement_(std::exchange(other.statement_, nullptr)), bound_(other.bound_) {}

SqliteQuery& SqliteQuery::bind(std::string_view text) {
  // An empty view may have a null pointer, which would bind NULL.
  const char* data = text.empty() ? "" : text.data();
  const int rc = sqlite3_bind_text64(statement_, ++bound_, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  EBB_CHECK(rc == SQLITE_OK || rc == SQLITE_NOMEM);
  return *this;
}

SqliteQuery& SqliteQuery::bind(std::int64_t number) {
  EBB_CHECK(sqlite3_bind_int64(statement_, ++bound_, number) == SQLITE_OK);
  return *this;
}

SqliteQuery& SqliteQuery::bind_bytes(std::string_view bytes) {
  const char* data = bytes.empty() ? "" : bytes.data();
  const int rc = sqlite3_bind_blob64(statement_, ++bound_, data, bytes.size(), SQLITE_STATIC);
  EBB_CHECK(rc == SQLITE_OK || rc == SQLITE_NOMEM);
  return *this;
}

base::Result<bool> SqliteQuery::step() {
  EBB_CHECK(bound_ == sqlite3_bind_parameter_count(statement_));
  const int rc = sqlite3_step(statement_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  return database_->error();
}

base::Result<void> SqliteQuery::run() {
  EBB_TRY(const bool row, step());
  EBB_CHECK(!row);
  return {};
}

std::int64_t SqliteQuery::number(int column) const { return sqlite3_column_int64(statement_, column); }

std::string SqliteQuery::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  return data == nullptr ? "" : std::string(data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
}

SqliteDatabase::SqliteDatabase(sqlite3* handle, std::string path)
    : handle_(handle), path_(std::move(path)), statements_(std::make_unique<Statements>()) {}

SqliteDatabase::~SqliteDatabase() {
  for (const auto& [text, statement] : statements_->by_text) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

base::Result<std::unique_ptr<SqliteDatabase>> SqliteDatabase::connect(const std::string& path, int flags) {
  sqlite3* handle = nullptr;
  // Full mutexing is not needed: callers serialise.
  const int rc = sqlite3_open_v2(path.c_str(), &handle, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  if (handle == nullptr) return base::internal("open database " + path + ": out of memory");
  std::unique_ptr<SqliteDatabase> database(new SqliteDatabase(handle, path));
  if (rc != SQLITE_OK) return database->error();
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, kBusyTimeoutMs);
  return database;
}

base::Result<std::unique_ptr<SqliteDatabase>> SqliteDatabase::open(const std::string& path) {
  EBB_TRY(auto database, connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
  EBB_CHECKED(database->prepare_file());
  return database;
}

base::Result<std::unique_ptr<SqliteDatabase>> SqliteDatabase::open_to_read(const std::string& path) {
  return connect(path, SQLITE_OPEN_READONLY);
}

base::Result<void> SqliteDatabase::prepare_file() {
  {
    // Before anything is written: a damaged file must be left as it is for whoever repairs it.
    EBB_TRY(SqliteQuery check, query("PRAGMA quick_check(1)"));
    EBB_TRY(const bool row, check.step());
    if (!row || check.text(0) != "ok") {
      return base::internal("database " + path_ + " is damaged (" + (row ? check.text(0) : "no answer") +
                            "): restore it from a backup, or move it away to start empty");
    }
  }
  EBB_CHECKED(execute("PRAGMA journal_mode=WAL"));
  EBB_CHECKED(execute("PRAGMA synchronous=FULL"));
  return execute("PRAGMA foreign_keys=ON");
}

base::Result<void> SqliteDatabase::execute(const char* sql) {
  if (sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return error();
}

base::Result<SqliteQuery> SqliteDatabase::query(const char* sql) {
  sqlite3_stmt*& statement = statements_->by_text[sql];
  if (statement == nullptr &&
      sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr) != SQLITE_OK) {
    return error();
  }
  return SqliteQuery(*this, statement);
}

std::int64_t SqliteDatabase::last_insert_id() const { return sqlite3_last_insert_rowid(handle_); }

base::Error SqliteDatabase::error() const {
  const std::string text = sqlite3_errmsg(handle_);
  switch (sqlite3_errcode(handle_) & 0xff) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      return base::internal("database " + path_ + " is damaged (" + text +
                            "): restore it from a backup, or move it away to start empty");
    case SQLITE_CANTOPEN:
      return base::internal("database " + path_ + " cannot be opened (" + text +
                            "): check that its directory exists and is writable");
    case SQLITE_FULL: return base::unavailable("no space left for the database " + path_ + ", free some");
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return base::unavailable("database " + path_ + " is locked by another process");
    case SQLITE_READONLY: return base::internal("database " + path_ + " is not writable (" + text + ")");
    default: return base::internal("database " + path_ + ": " + text);
  }
}

base::Result<SqliteTransaction> SqliteTransaction::begin(SqliteDatabase& database) {
  // Immediate: the write lock is taken now, so that reads inside stay true until the commit.
  EBB_CHECKED(database.execute("BEGIN IMMEDIATE"));
  return SqliteTransaction(database);
}

SqliteTransaction::SqliteTransaction(SqliteTransaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

SqliteTransaction::~SqliteTransaction() {
  // After some errors SQLite has rolled back by itself; that this then fails is expected.
  if (database_ != nullptr) (void)database_->execute("ROLLBACK");
}

base::Result<void> SqliteTransaction::commit() {
  EBB_CHECKED(database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace ebb::store
