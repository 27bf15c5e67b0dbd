#include "pg/shutdown.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pg/server.h"

extern "C" {
#include "utils/pidfile.h"
}

namespace omendb {

bool ServerIsStopping() {
  char text[BLCKSZ];
  int file = open("postmaster.pid", O_RDONLY | O_CLOEXEC);
  if (file < 0) return true;
  ssize_t size = read(file, text, sizeof(text) - 1);
  close(file);
  if (size < 0) return true;
  text[size] = '\0';
  const char* line = text;
  for (int i = 1; i < LOCK_FILE_LINE_PM_STATUS; i++) {
    line = strchr(line, '\n');
    if (line == nullptr) return false;
    line++;
  }
  return strncmp(line, PM_STATUS_STOPPING, strlen(PM_STATUS_STOPPING)) == 0;
}

}  // namespace omendb
