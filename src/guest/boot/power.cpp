#include "guest/boot/power.h"

#include <linux/reboot.h>
#include <sys/reboot.h>

#include <unistd.h>

namespace kata::boot {

void power_off() {
  ::sync();
  ::reboot(RB_POWER_OFF);
}

}  // namespace kata::boot
