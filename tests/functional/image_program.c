// What test images run: a web server on $PORT, or, with the argument "lambda", a program that speaks the Lambda Runtime
// API: there an event whose `rawPath` is one of those marked * is answered with the same text, or is an error where
// that is 404, and any other with itself. It answers in plain text what it sees. Static, so that an image needs nothing
// else.
//
// * GET /file/PATH    the content of a file, 404 with the reason otherwise
//   GET /list/PATH    the names in a directory, one a line, sorted
//   GET /link/PATH    where a link leads
//   GET /mode/PATH    type and permissions in octal, and the owner: "100755 0"
//   GET /write/PATH   writes there: "written", or the reason why not
//   GET /run/PATH     runs a program without arguments: its exit status
// * GET /say/TEXT     says "out TEXT" and "err TEXT" on its streams, and answers TEXT and the number of the request
// * GET /sleep/N      answers N seconds later
//   GET /me           uid, gid, working directory and arguments; /env: the environment; * /exit/N: ends
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

static char body[1 << 20];
static int status;

static void say(const char* text) { strncat(body, text, sizeof body - strlen(body) - 1); }

static void fail(void) {
  status = 404;
  say(strerror(errno));
}

static void tell_file(const char* path) {
  const int fd = open(path, O_RDONLY);
  const ssize_t got = fd < 0 ? -1 : read(fd, body, sizeof body - 1);
  if (got < 0) fail();
  if (got >= 0) body[got] = 0;
  if (fd >= 0) close(fd);
}

static void tell_list(const char* path) {
  struct dirent** names;
  const int count = scandir(path, &names, NULL, alphasort);
  if (count < 0) fail();
  for (int i = 0; i < count; ++i) {
    if (strcmp(names[i]->d_name, ".") == 0 || strcmp(names[i]->d_name, "..") == 0) continue;
    say(names[i]->d_name);
    say("\n");
  }
}

static void tell_link(const char* path) {
  const ssize_t got = readlink(path, body, sizeof body - 1);
  if (got < 0) fail();
  if (got >= 0) body[got] = 0;
}

static void tell_mode(const char* path) {
  struct stat found;
  if (lstat(path, &found) != 0) {
    fail();
    return;
  }
  sprintf(body, "%o %u", found.st_mode, found.st_uid);
}

static void tell_write(const char* path) {
  const int fd = open(path, O_WRONLY | O_CREAT, 0644);
  if (fd < 0) {
    fail();
    return;
  }
  say(write(fd, "x", 1) == 1 ? "written" : strerror(errno));
  close(fd);
}

static void tell_run(const char* path) {
  const pid_t child = fork();
  if (child == 0) {
    execl(path, path, NULL);
    _exit(127);
  }
  int ended = 0;
  waitpid(child, &ended, 0);
  sprintf(body, "%d", WIFEXITED(ended) ? WEXITSTATUS(ended) : -1);
}

static void tell_say(const char* text) {
  static int calls;
  dprintf(1, "out %s\n", text);
  dprintf(2, "err %s\n", text);
  snprintf(body, sizeof body, "%s %d", text, ++calls);
}

static void answer(const char* path, int argc, char** argv) {
  status = 200;
  body[0] = 0;
  if (strncmp(path, "/file/", 6) == 0) {
    tell_file(path + 5);
  } else if (strncmp(path, "/list/", 6) == 0) {
    tell_list(path + 5);
  } else if (strncmp(path, "/link/", 6) == 0) {
    tell_link(path + 5);
  } else if (strncmp(path, "/mode/", 6) == 0) {
    tell_mode(path + 5);
  } else if (strncmp(path, "/write/", 7) == 0) {
    tell_write(path + 6);
  } else if (strncmp(path, "/run/", 5) == 0) {
    tell_run(path + 4);
  } else if (strncmp(path, "/say/", 5) == 0) {
    tell_say(path + 5);
  } else if (strncmp(path, "/sleep/", 7) == 0) {
    sleep((unsigned)atoi(path + 7));
  } else if (strncmp(path, "/exit/", 6) == 0) {
    exit(atoi(path + 6));
  } else if (strcmp(path, "/env") == 0) {
    for (char** one = environ; *one; ++one) {
      say(*one);
      say("\n");
    }
  } else {
    char folder[1024];
    sprintf(body, "%u %u %s", getuid(), getgid(), getcwd(folder, sizeof folder));
    for (int i = 0; i < argc; ++i) {
      say(" ");
      say(argv[i]);
    }
  }
}

static int connect_to(const char* address) {
  char host[64] = {0};
  const char* colon = strchr(address, ':');
  memcpy(host, address, (size_t)(colon - address));
  struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(colon + 1))};
  inet_pton(AF_INET, host, &where.sin_addr);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr*)&where, sizeof where) == 0 ? fd : -1;
}

static void send_all(int fd, const char* text) {
  for (size_t left = strlen(text); left > 0;) {
    const ssize_t sent = write(fd, text, left);
    if (sent <= 0) exit(9);
    text += sent;
    left -= (size_t)sent;
  }
}

// One exchange on a connection of its own; the answer in `got`.
static void exchange(const char* request, char* got, size_t size) {
  const int fd = connect_to(getenv("AWS_LAMBDA_RUNTIME_API"));
  if (fd < 0) exit(8);
  send_all(fd, request);
  size_t have = 0;
  for (ssize_t n; have < size - 1 && (n = read(fd, got + have, size - 1 - have)) > 0;) have += (size_t)n;
  got[have] = 0;
  close(fd);
}

// The path of an event that asks for what a request may ask for, too.
static int asked_for(const char* event, char* path) {
  const char* raw = strstr(event, "\"rawPath\"");
  if (!raw || sscanf(raw + strlen("\"rawPath\""), "%*[: ]\"%1023[^\"]", path) != 1) return 0;
  return strncmp(path, "/say/", 5) == 0 || strncmp(path, "/file/", 6) == 0 || strncmp(path, "/sleep/", 7) == 0 ||
         strncmp(path, "/exit/", 6) == 0;
}

// Answers each event with what it asks for, or with {"event": it, "handler": ...}.
static void speak_lambda(void) {
  static char got[1 << 16], result[1 << 16], request[1 << 17], path[1024];
  for (;;) {
    exchange("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", got,
             sizeof got);
    char id[128] = {0};
    const char* found = strcasestr(got, "lambda-runtime-aws-request-id: ");
    const char* event = strstr(got, "\r\n\r\n");
    if (!found || !event) exit(7);
    sscanf(found, "%*s %127[^\r]", id);
    snprintf(result, sizeof result, "{\"event\": %s, \"handler\": \"%s\"}", event + 4, getenv("_HANDLER"));
    status = 200;
    if (asked_for(event + 4, path)) {
      answer(path, 0, NULL);
      snprintf(result, sizeof result,
               status == 200 ? "\"%.60000s\"" : "{\"errorType\": \"Image\", \"errorMessage\": \"%.60000s\"}", body);
    }
    snprintf(request, sizeof request,
             "POST /2018-06-01/runtime/invocation/%s/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
             "Content-Length: %zu\r\n\r\n%s",
             id, status == 200 ? "response" : "error", strlen(result), result);
    exchange(request, got, sizeof got);
  }
}

int main(int argc, char** argv) {
  if (argc > 1 && strcmp(argv[argc - 1], "lambda") == 0) speak_lambda();
  const int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(getenv("PORT")))};
  inet_pton(AF_INET, "127.0.0.1", &where.sin_addr);
  if (bind(listener, (struct sockaddr*)&where, sizeof where) != 0 || listen(listener, 16) != 0) return 6;
  for (;;) {
    const int client = accept(listener, NULL, NULL);
    static char request[1 << 16];
    size_t have = 0;
    while (have < sizeof request - 1) {
      const ssize_t n = read(client, request + have, sizeof request - 1 - have);
      if (n <= 0) break;
      have += (size_t)n;
      request[have] = 0;
      if (strstr(request, "\r\n\r\n")) break;
    }
    char path[2048];
    if (have > 0 && sscanf(request, "%*s %2047s", path) == 1) {
      answer(path, argc, argv);
      char head[256];
      sprintf(head, "HTTP/1.1 %d Fine\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
              status, strlen(body));
      send_all(client, head);
      send_all(client, body);
    }
    close(client);
  }
}
