"""Start so many programs a second, evenly, for so many seconds; prints how many, and the seconds it took."""

import os
import sys
import time

rate, seconds = int(sys.argv[1]), float(sys.argv[2])
count = int(rate * seconds)
began = time.perf_counter()
for number in range(count):
    early_s = began + number / rate - time.perf_counter()
    if early_s > 0:
        time.sleep(early_s)
    pid = os.posix_spawn("/bin/true", ["true", str(number)], os.environ)
    if os.waitpid(pid, 0)[1]:
        sys.exit("a spawn failed")
print(count, time.perf_counter() - began)
