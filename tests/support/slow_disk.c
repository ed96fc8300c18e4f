/* A disk that is as slow as a file says, for the program that preloads this library (preloaded.py).
 *
 * The file holds one signed 64-bit integer: for how many nanoseconds each write or sync of a regular file is held up. It
 * is mapped, so that a change is seen at once. Standard output and error are as fast as ever.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t none = 0;
static const volatile int64_t *delay = &none;

__attribute__((constructor)) static void map(void) {
    const char *path = getenv("DIAL");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) delay = mapped;
}

static void hold_up(int file) {
    int64_t held = *delay;
    struct stat found;
    if (held <= 0 || file <= STDERR_FILENO || fstat(file, &found) || !S_ISREG(found.st_mode)) return;
    struct timespec pause = {held / 1000000000, held % 1000000000};
    nanosleep(&pause, NULL);
}

#define SLOW(result, name, types, names)                                                        \
    result name types {                                                                         \
        static result(*real) types;                                                             \
        if (!real) real = (result(*) types)dlsym(RTLD_NEXT, #name);                             \
        hold_up(file);                                                                          \
        return real names;                                                                      \
    }

SLOW(ssize_t, write, (int file, const void *data, size_t size), (file, data, size))
SLOW(ssize_t, pwrite, (int file, const void *data, size_t size, off_t at), (file, data, size, at))
SLOW(ssize_t, pwrite64, (int file, const void *data, size_t size, off64_t at), (file, data, size, at))
SLOW(ssize_t, writev, (int file, const struct iovec *data, int number), (file, data, number))
SLOW(int, fsync, (int file), (file))
SLOW(int, fdatasync, (int file), (file))
