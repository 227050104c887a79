// A plain process that loads hello_cpp.so: calls it once, prints the answer, ends.
#include <dlfcn.h>
#include <ebb/function.h>

#include <cstdio>

namespace {

int print(void*, int, const ebb_field*, size_t, ebb_text body) {
  std::fwrite(body.data, 1, body.size, stdout);
  std::putchar('\n');
  return std::fflush(stdout);
}

ebb_text text(const char* given) { return ebb::detail::text(given); }

}  // namespace

int main(int count, char** words) {
  void* library = count > 1 ? ::dlopen(words[1], RTLD_NOW) : nullptr;
  if (library == nullptr) return std::fprintf(stderr, "%s\n", count > 1 ? ::dlerror() : "usage: plain FILE.so"), 1;
  const auto entry = reinterpret_cast<ebb_function_entry>(::dlsym(library, EBB_FUNCTION_SYMBOL));
  if (entry == nullptr) return std::fprintf(stderr, "%s\n", ::dlerror()), 1;
  ebb_call call{};
  call.host.whole = &print;
  call.is_http = 1;
  call.method = text("GET");
  call.path = text("/");
  const ebb_function* function = entry();
  function->init(&call.host);
  function->started(&call.host);
  function->call(&call);
  return 0;
}
