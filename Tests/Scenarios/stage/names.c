// A name service that a play controls, preloaded into the edge in place of the C library's getaddrinfo: CI may neither
// change /etc/hosts nor mount another one, and Debian's nss_wrapper is not safe for threads.
//
// PLAY_NAMES names a file of lines `NAME ADDRESS ...`. A name without a line does not exist; `hang` in place of an
// address keeps the lookup waiting until the line has changed. Every name that is asked for joins FILE.asked.
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int (*lookup)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

// The words behind `name` in the file, as a text in `line`; 0 when there are none.
static int find(const char *path, const char *name, char *line, int size) {
  FILE *file = fopen(path, "re");
  int found = 0;
  while (file && !found && fgets(line, size, file)) {
    size_t length = strlen(name);
    found = strncmp(line, name, length) == 0 && line[length] == ' ';
    if (found) memmove(line, line + length + 1, strlen(line + length + 1) + 1);
  }
  if (file) fclose(file);
  return found;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
  lookup next = (lookup)dlsym(RTLD_NEXT, "getaddrinfo");
  const char *path = getenv("PLAY_NAMES");
  if (!path || !name) return next(name, service, hints, result);

  char text[4096];
  snprintf(text, sizeof text, "%s.asked", path);
  int asked = open(text, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  int length = snprintf(text, sizeof text, "%s\n", name);
  if (asked < 0 || write(asked, text, length) != length) return EAI_FAIL;
  close(asked);

  int found;
  while ((found = find(path, name, text, sizeof text)) && strncmp(text, "hang", 4) == 0) usleep(10000);
  if (!found) return next(name, service, &(struct addrinfo){.ai_flags = AI_NUMERICHOST}, result);

  // The C library makes the entries, one numeric address at a time, and frees the chain.
  struct addrinfo numeric = hints ? *hints : (struct addrinfo){0};
  numeric.ai_flags = AI_NUMERICHOST;
  *result = NULL;
  char *rest;
  for (char *word = strtok_r(text, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
    struct addrinfo *entry;
    int status = next(word, service, &numeric, &entry);
    if (status) return status;
    struct addrinfo *last = entry;
    while (last->ai_next) last = last->ai_next;
    last->ai_next = *result;
    *result = entry;
  }
  return *result ? 0 : EAI_NONAME;
}
