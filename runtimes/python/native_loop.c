// The warm path of a library: a frame comes, the library is called, a frame goes, and no Python in between. Whatever is
// out of the ordinary is left to native.py and instance.py, which do the same for every kind of call; a callback that
// needs them asks for an Answer while the handler runs.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../native/settle.h"
#include "native_host.h"
#include "native_request.h"

enum {
  kFrameBytes = 32,       // wire.FRAME
  kInvocationBytes = 16,  //
  kBufferBytes = 64 * 1024,
  kAlignment = 16,
  kMetaBytes = 8 * 1024,  // of an ordinary answer: status and headers
  kInvoke = 1,            // wire.INVOKE
  kResult = 2             // wire.RESULT
};

struct frame {  // little-endian, as src/wire/frame.h has it
  uint16_t magic;
  uint8_t version;
  uint8_t type;
  uint32_t meta_bytes;
  uint64_t body_bytes;
  char invocation[kInvocationBytes];
};
_Static_assert(sizeof(struct frame) == kFrameBytes, "the frame's header has no gaps");

struct loop {
  struct native_host host;  // first: what a callback is given is one
  PyObject* answer_of;
  struct frame frame;  // of the call, then of its answer
  int head_only;
  int kept;  // an answer stands in `meta` and `body`
  char meta[kMetaBytes];
  size_t meta_size;
  char body[kBufferBytes];
  size_t body_size;
};

// One instance, one thread, one call at a time. In .bss, whose pages are there when they are used.
static struct loop loop;
static struct native_request request;
static char room[kBufferBytes + kNativeRoomBeside];

// The Answer of this call, from here on told everything. 0 with an error set where there can be none.
static int has_answer(void) {
  if (loop.host.answer != NULL) return 1;
  loop.host.answer =
      PyObject_CallFunction(loop.answer_of, "y#i", loop.frame.invocation, (Py_ssize_t)kInvocationBytes, loop.head_only);
  return loop.host.answer != NULL;
}

// Bytes of the meta at hand, -1 when there is no room.
static int put(const char* text, size_t size) {
  if (size > kMetaBytes - loop.meta_size) return -1;
  memcpy(loop.meta + loop.meta_size, text, size);
  loop.meta_size += size;
  return 0;
}

static int put_name(struct ebb_text name) {
  for (size_t i = 0; i < name.size; ++i) {
    const char c = name.data[i];
    const int alphanumeric = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (!alphanumeric && c != '-' && c != '_') return -1;
  }
  return name.size > 0 ? put(name.data, name.size) : -1;
}

static int put_value(struct ebb_text value) {
  for (size_t i = 0; i < value.size; ++i) {
    const char c = value.data[i];
    if (c < ' ' || c > '~') return -1;
    if ((c == '"' || c == '\\') && put("\\", 1) != 0) return -1;
    if (put(&c, 1) != 0) return -1;
  }
  return 0;
}

// Keeps an answer that is an ordinary one. -1: it is none, and nothing is kept.
static int keep(int status, const struct ebb_field* headers, size_t count, struct ebb_text body) {
  if (loop.head_only || status < 200 || status > 599 || status == 204 || status == 304) return -1;
  if (count > kNativeHeadersMax || body.size > kBufferBytes) return -1;
  char begin[64];
  loop.meta_size = 0;
  int wrong = put(begin, (size_t)snprintf(begin, sizeof begin, "{\"status\":%d,\"headers\":[", status));
  for (size_t i = 0; i < count && wrong == 0; ++i) {
    wrong = put(i == 0 ? "[\"" : ",[\"", i == 0 ? 2 : 3) || put_name(headers[i].name) || put("\",\"", 3) ||
            put_value(headers[i].value) || put("\"]", 2);
  }
  if (wrong != 0 || put("],\"cookies\":[]}", 15) != 0) return -1;
  if (body.size > 0) memcpy(loop.body, body.data, body.size);
  loop.body_size = body.size;
  return 0;
}

// What comes behind an answer. With an error set where it is a second one; a failure counts for more than an answer.
static int second(void) { return has_answer() ? native_tell_twice(&loop.host) : -1; }

static int begin(void* self, int status, const struct ebb_field* headers, size_t count) {
  if (native_refused(self)) return -1;
  if (loop.kept) return second();
  return has_answer() ? native_tell_begin(self, status, headers, count) : -1;
}

static int piece(void* self, struct ebb_text data) {
  if (native_refused(self)) return -1;
  if (loop.kept) return second();
  return has_answer() ? native_tell_piece(self, data) : -1;
}

static int whole(void* self, int status, const struct ebb_field* headers, size_t count, struct ebb_text body) {
  if (native_refused(self)) return -1;
  if (loop.kept) return second();
  if (loop.host.answer == NULL && keep(status, headers, count, body) == 0) {
    loop.kept = 1;
    return 0;
  }
  return has_answer() ? native_tell_whole(self, status, headers, count, body) : -1;
}

static void failed(void* self, struct ebb_text type, struct ebb_text message) {
  if (!native_refused(self) && has_answer()) native_tell_failed(self, type, message);
}

// The bytes of one frame, or of its beginning; 0 at the channel's end, -1 with an error set.
static ssize_t receive(int fd, char* buffer, size_t size) {
  for (;;) {
    ssize_t got;
    Py_BEGIN_ALLOW_THREADS got = recv(fd, buffer, size, 0);
    Py_END_ALLOW_THREADS if (got >= 0) return got;
    if (errno == EINTR && PyErr_CheckSignals() == 0) continue;
    if (!PyErr_Occurred()) PyErr_SetFromErrno(PyExc_OSError);
    return -1;
  }
}

static int send_all(int fd, struct iovec* parts, size_t count) {
  struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
  while (message.msg_iovlen > 0) {
    ssize_t sent;
    Py_BEGIN_ALLOW_THREADS sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    Py_END_ALLOW_THREADS if (sent < 0) {
      if (errno == EINTR && PyErr_CheckSignals() == 0) continue;
      if (!PyErr_Occurred()) PyErr_SetFromErrno(PyExc_OSError);
      return -1;
    }
    for (; message.msg_iovlen > 0 && (size_t)sent >= message.msg_iov->iov_len;
         ++message.msg_iov, --message.msg_iovlen) {
      sent -= (ssize_t)message.msg_iov->iov_len;
    }
    if (message.msg_iovlen > 0) {
      message.msg_iov->iov_base = (char*)message.msg_iov->iov_base + sent;
      message.msg_iov->iov_len -= (size_t)sent;
    }
  }
  return 0;
}

// -1 with an error set.
static int send_kept(int fd, PyObject* look) {
  const pid_t zombie = ebb_settle();
  loop.frame.type = kResult;
  loop.frame.meta_bytes = (uint32_t)loop.meta_size;
  loop.frame.body_bytes = loop.body_size;
  struct iovec parts[] = {{&loop.frame, kFrameBytes}, {loop.meta, loop.meta_size}, {loop.body, loop.body_size}};
  if (send_all(fd, parts, 3) != 0) return -1;
  PyObject* looked = zombie != 0 ? PyObject_CallFunction(look, NULL) : Py_NewRef(Py_None);
  Py_XDECREF(looked);
  return looked != NULL ? 0 : -1;
}

// Whether it is the whole frame of a call, and one that can be read here.
static int is_ordinary(const char* buffer, size_t have) {
  if (have < kFrameBytes) return 0;
  memcpy(&loop.frame, buffer, kFrameBytes);
  const struct frame* frame = &loop.frame;
  if (frame->magic != 0xEBF1 || frame->version != 1 || frame->type != kInvoke) return 0;
  if (frame->meta_bytes > have - kFrameBytes || frame->body_bytes != have - kFrameBytes - frame->meta_bytes) return 0;
  return native_read_request(buffer + kFrameBytes, frame->meta_bytes, frame->body_bytes, room, &request);
}

// The Answer of a call that Python has to end, with what was raised. NULL with an error set.
static PyObject* unfinished(void) {
  PyObject *type = NULL, *value = NULL, *trace = NULL;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  Py_XDECREF(type);
  Py_XDECREF(trace);
  if (has_answer() && value != NULL && PyObject_SetAttrString(loop.host.answer, "raised", value) != 0) {
    Py_CLEAR(loop.host.answer);
  }
  Py_XDECREF(value);
  return loop.host.answer;
}

// Of the frame in `buffer`, where what computes may read it as numbers of any kind, and a NUL behind it: as Python's
// bytes are. There is room for both, since less than the buffer holds is received.
static struct ebb_text aligned_body(char* buffer) {
  const size_t size = (size_t)loop.frame.body_bytes;
  if (size == 0) return (struct ebb_text){"", 0};
  char* const at = buffer + kFrameBytes + loop.frame.meta_bytes;
  char* const aligned = at + (-(uintptr_t)at & (kAlignment - 1));
  memmove(aligned, at, size);
  aligned[size] = '\0';
  return (struct ebb_text){aligned, size};
}

PyObject* native_serve(PyObject* module, PyObject* args) {
  (void)module;
  PyObject *number = NULL, *look = NULL;
  Py_buffer buffer;
  int fd = 0;
  const char* text[3] = {0};
  Py_ssize_t size[3] = {0};
  unsigned long long memory_bytes = 0;
  if (!PyArg_ParseTuple(args, "Oiw*OOs#s#s#K", &number, &fd, &buffer, &loop.answer_of, &look, &text[0], &size[0],
                        &text[1], &size[1], &text[2], &size[2], &memory_bytes)) {
    return NULL;
  }
  const struct ebb_function* function = PyLong_AsVoidPtr(number);
  const pid_t pid = getpid();
  if (buffer.len > kBufferBytes || buffer.len <= kAlignment) {
    PyBuffer_Release(&buffer);
    PyErr_SetString(PyExc_ValueError, "the buffer is of another size");
    return NULL;
  }
  PyObject* result = NULL;
  while (function != NULL && result == NULL) {
    const ssize_t have = receive(fd, buffer.buf, (size_t)buffer.len - kAlignment);
    if (have < 0) break;
    if (!is_ordinary(buffer.buf, (size_t)have)) {
      result = PyLong_FromSsize_t(have);
      break;
    }
    loop.host = (struct native_host){.answer = NULL, .thread = pthread_self()};
    loop.head_only = request.head_only;
    loop.kept = 0;
    const struct ebb_call given = {
        .host = {.self = &loop.host, .begin = begin, .piece = piece, .whole = whole, .failed = failed},
        .is_http = request.is_http,
        .method = request.method,
        .path = request.path,
        .query = request.query,
        .headers = request.headers,
        .header_count = request.header_count,
        .body = aligned_body(buffer.buf),
        .request_id = request.request_id,
        .app = {text[0], (size_t)size[0]},
        .function = {text[1], (size_t)size[1]},
        .version = {text[2], (size_t)size[2]},
        .deadline_ms = request.deadline_ms,
        .memory_bytes = memory_bytes};
    function->call(&given);
    // A worker that the handler forked and that came back from it is sent away by Python.
    const int ordinary = loop.kept && loop.host.answer == NULL && !PyErr_Occurred() && getpid() == pid;
    if (!ordinary) {
      result = unfinished();
      break;
    }
    if (send_kept(fd, look) != 0) break;
  }
  PyBuffer_Release(&buffer);
  return result;
}
