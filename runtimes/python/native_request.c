#include "native_request.h"

#include <stdio.h>
#include <string.h>

// Reads forwards only; what is not as expected sets `bad`, after which everything reads as empty.
struct reader {
  const char* at;
  const char* end;
  char* room;
  int bad;
};

static void spoil(struct reader* self) {
  self->bad = 1;
  self->at = self->end;
}

static char next(struct reader* self) {
  while (self->at < self->end && (*self->at == ' ' || *self->at == '\n' || *self->at == '\r' || *self->at == '\t')) {
    ++self->at;
  }
  return self->at < self->end ? *self->at : '\0';
}

static void expect(struct reader* self, char c) {
  if (next(self) == c && self->at < self->end) {
    ++self->at;
  } else {
    spoil(self);
  }
}

static int digit_of(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

static unsigned hex4(struct reader* self) {
  unsigned value = 0;
  if (self->end - self->at < 4) {
    spoil(self);
    return 0;
  }
  for (int i = 0; i < 4; ++i) {
    const int digit = digit_of(*self->at++);
    if (digit < 0) {
      spoil(self);
      return 0;
    }
    value = value * 16 + (unsigned)digit;
  }
  return value;
}

static void put_utf8(struct reader* self, unsigned code) {
  char* out = self->room;
  if (code < 0x80) {
    *out++ = (char)code;
  } else if (code < 0x800) {
    *out++ = (char)(0xC0 | code >> 6);
    *out++ = (char)(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    *out++ = (char)(0xE0 | code >> 12);
    *out++ = (char)(0x80 | (code >> 6 & 0x3F));
    *out++ = (char)(0x80 | (code & 0x3F));
  } else {
    *out++ = (char)(0xF0 | code >> 18);
    *out++ = (char)(0x80 | (code >> 12 & 0x3F));
    *out++ = (char)(0x80 | (code >> 6 & 0x3F));
    *out++ = (char)(0x80 | (code & 0x3F));
  }
  self->room = out;
}

// Behind "\u". Never longer than it was: six characters of JSON become at most three bytes, twelve become four.
static void put_escaped_code(struct reader* self) {
  unsigned code = hex4(self);
  if (code >= 0xD800 && code < 0xDC00) {
    if (self->end - self->at < 2 || self->at[0] != '\\' || self->at[1] != 'u') return spoil(self);
    self->at += 2;
    const unsigned low = hex4(self);
    if (low < 0xDC00 || low > 0xDFFF) return spoil(self);
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  } else if (code >= 0xDC00 && code < 0xE000) {
    return spoil(self);
  }
  if (!self->bad) put_utf8(self, code);
}

static void put_escaped(struct reader* self) {
  static const char kFrom[] = "\"\\/bfnrt";
  static const char kTo[] = "\"\\/\b\f\n\r\t";
  if (self->at == self->end) return spoil(self);
  const char c = *self->at++;
  if (c == 'u') return put_escaped_code(self);
  const char* found = c != '\0' ? strchr(kFrom, c) : NULL;
  if (found == NULL) return spoil(self);
  *self->room++ = kTo[found - kFrom];
}

static struct ebb_text text(struct reader* self) {
  const struct ebb_text none = {NULL, 0};
  expect(self, '"');
  char* const begin = self->room;
  while (!self->bad) {
    const char* plain = self->at;
    while (self->at < self->end && *self->at != '"' && *self->at != '\\') ++self->at;
    memcpy(self->room, plain, (size_t)(self->at - plain));
    self->room += self->at - plain;
    if (self->at == self->end) {
      spoil(self);
    } else if (*self->at++ == '"') {
      *self->room++ = '\0';  // in the place of a quote
      return (struct ebb_text){begin, (size_t)(self->room - begin) - 1};
    } else {
      put_escaped(self);
    }
  }
  return none;
}

static int is(struct ebb_text given, const char* word) {
  return given.size == strlen(word) && memcmp(given.data, word, given.size) == 0;
}

// Any value: brackets are counted, strings stepped over.
static void skip(struct reader* self) {
  int depth = 0;
  do {
    const char c = next(self);
    if (self->at == self->end) return spoil(self);
    ++self->at;
    if (c == '"') {
      for (; self->at < self->end && *self->at != '"'; ++self->at) {
        if (*self->at == '\\') ++self->at;
      }
      if (self->at >= self->end) return spoil(self);
      ++self->at;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      --depth;
    } else if (depth == 0) {  // a number or a word
      while (self->at < self->end && strchr(",]} \n\r\t", *self->at) == NULL) ++self->at;
    }
  } while (depth > 0);
}

// Steps to the next member of an object, whose name it takes to the room and gives back from there. `first` begins
// as 1.
static int member(struct reader* self, int* first, struct ebb_text* name) {
  if (*first) expect(self, '{');
  if (!self->bad && next(self) == '}') {
    ++self->at;
    return 0;
  }
  if (!*first) expect(self, ',');
  *first = 0;
  *name = text(self);
  expect(self, ':');
  return !self->bad;
}

static struct ebb_field* add(struct reader* self, struct native_request* out, struct ebb_text name) {
  if (out->header_count == kNativeHeadersMax) {
    spoil(self);
    return NULL;
  }
  struct ebb_field* field = &out->headers[out->header_count++];
  field->name = name;
  return field;
}

static struct ebb_field* header(struct native_request* out, const char* name) {
  for (size_t i = 0; i < out->header_count; ++i) {
    if (is(out->headers[i].name, name)) return &out->headers[i];
  }
  return NULL;
}

static void read_headers(struct reader* self, struct native_request* out) {
  struct ebb_text name;
  for (int first = 1; member(self, &first, &name);) {
    const struct ebb_text value = text(self);
    if (is(name, "transfer-encoding")) continue;  // the body is here whole, however it came
    struct ebb_field* field = add(self, out, name);
    if (field != NULL) field->value = value;
  }
}

// As one header, "a=1; b=2"; without data where there are none. The commas and quotes between them are more than the
// words that stand there now.
static struct ebb_text read_cookies(struct reader* self) {
  char* const begin = self->room;
  int first = 1;
  expect(self, '[');
  for (; !self->bad && next(self) != ']'; first = 0) {
    if (!first) {
      expect(self, ',');
      memcpy(self->room - 1, "; ", 2);
      self->room += 1;
    }
    (void)text(self);
  }
  expect(self, ']');
  if (first || self->bad) return (struct ebb_text){NULL, 0};
  return (struct ebb_text){begin, (size_t)(self->room - begin) - 1};
}

static void read_http(struct reader* self, struct native_request* out) {
  struct ebb_text name;
  for (int first = 1; member(self, &first, &name);) {
    if (is(name, "method")) {
      out->method = text(self);
    } else {
      skip(self);
    }
  }
}

static void read_context(struct reader* self, struct native_request* out) {
  struct ebb_text name;
  for (int first = 1; member(self, &first, &name);) {
    if (is(name, "http")) {
      read_http(self, out);
    } else {
      skip(self);
    }
  }
}

// Where it stands, in the room; what is no escape stays as it is.
static struct ebb_text percent_decoded(struct ebb_text given) {
  char* const begin = (char*)given.data;
  char* out = begin;
  for (size_t i = 0; i < given.size; ++i) {
    const int high = begin[i] == '%' && i + 2 < given.size ? digit_of(begin[i + 1]) : -1;
    const int low = high >= 0 ? digit_of(begin[i + 2]) : -1;
    if (low >= 0) i += 2;
    *out++ = low >= 0 ? (char)(high * 16 + low) : begin[i];
  }
  if (given.size > 0) *out = '\0';
  return (struct ebb_text){begin, (size_t)(out - begin)};
}

static void read_event(struct reader* self, struct native_request* out, uint64_t body_bytes) {
  struct ebb_text name;
  struct ebb_text cookies = {NULL, 0};
  for (int first = 1; member(self, &first, &name);) {
    if (is(name, "rawPath")) {
      out->path = percent_decoded(text(self));
    } else if (is(name, "rawQueryString")) {
      out->query = text(self);
    } else if (is(name, "headers")) {
      read_headers(self, out);
    } else if (is(name, "cookies")) {
      cookies = read_cookies(self);
    } else if (is(name, "requestContext")) {
      read_context(self, out);
    } else {
      skip(self);
    }
  }
  if (body_bytes > 0) {
    struct ebb_field* length = header(out, "content-length");
    if (length == NULL) length = add(self, out, (struct ebb_text){"content-length", 14});
    const int digits = length != NULL ? sprintf(self->room, "%llu", (unsigned long long)body_bytes) : 0;
    if (length != NULL) length->value = (struct ebb_text){self->room, (size_t)digits};
    self->room += digits + 1;
  }
  if (cookies.data != NULL) {
    struct ebb_field* cookie = header(out, "cookie");
    if (cookie == NULL) cookie = add(self, out, (struct ebb_text){"cookie", 6});
    if (cookie != NULL) cookie->value = cookies;
  }
}

static int64_t number(struct reader* self) {
  int64_t value = 0;
  int digits = 0;
  for (char c = next(self); c >= '0' && c <= '9' && digits < 18; c = self->at < self->end ? *self->at : '\0') {
    value = value * 10 + (c - '0');
    ++self->at;
    ++digits;
  }
  const char behind = next(self);
  if (digits == 0 || (behind != ',' && behind != '}')) spoil(self);
  return value;
}

int native_read_request(const char* meta, size_t size, uint64_t body_bytes, char* room, struct native_request* out) {
  struct reader reader = {.at = meta, .end = meta + size, .room = room};
  struct ebb_text name;
  struct ebb_text kind = {NULL, 0};
  struct ebb_text type = {NULL, 0};
  const struct ebb_text none = {"", 0};
  out->head_only = 0;
  out->deadline_ms = 0;
  out->header_count = 0;
  out->method = out->path = out->query = out->request_id = none;
  for (int first = 1; member(&reader, &first, &name);) {
    if (is(name, "kind")) {
      kind = text(&reader);
    } else if (is(name, "request_id")) {
      out->request_id = text(&reader);
    } else if (is(name, "deadline_ms")) {
      out->deadline_ms = number(&reader);
    } else if (is(name, "event")) {
      read_event(&reader, out, body_bytes);
    } else if (is(name, "content_type")) {
      type = text(&reader);
    } else {
      if (is(name, "head_only")) out->head_only = 1;
      skip(&reader);
    }
  }
  if (next(&reader) != '\0' || reader.at != reader.end) spoil(&reader);
  out->is_http = is(kind, "http");
  if (!out->is_http) {
    if (!is(kind, "direct") || out->header_count > 0) spoil(&reader);
    struct ebb_field* field = type.size > 0 ? add(&reader, out, (struct ebb_text){"content-type", 12}) : NULL;
    if (field != NULL) field->value = type;
  }
  return !reader.bad;
}
