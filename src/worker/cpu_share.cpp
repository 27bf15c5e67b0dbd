#include "worker/cpu_share.h"

#include <fcntl.h>
#include <unistd.h>

extern "C" {
#include "utils/timestamp.h"
}

namespace omendb {
namespace {

// About a tenth of one processor where all are busy.
constexpr char kLowShare[] = "10";
constexpr char kFullShare[] = "0";
// The kernel takes ten changes a second from whoever has no privileges.
constexpr int kLowAfterMs = 1000;

bool SetGroupNice(const char* nice) {
  int file = open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  size_t size = strlen(nice);
  bool set = write(file, nice, size) == static_cast<ssize_t>(size);
  close(file);
  return set;
}

}  // namespace

void CpuShare::Update(bool needed) {
  if (needed) {
    needed_at_ = GetCurrentTimestamp();
    if (is_low_) is_low_ = !SetGroupNice(kFullShare);
  } else if (!is_low_ &&
             TimestampDifferenceExceeds(needed_at_, GetCurrentTimestamp(), kLowAfterMs)) {
    is_low_ = SetGroupNice(kLowShare);
    needed_at_ = GetCurrentTimestamp();
  }
}

}  // namespace omendb
