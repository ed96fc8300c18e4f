/* A wall clock that is off by what a file says, for the program that preloads this library (wrong_clock.py).
 *
 * The file holds one signed 64-bit integer: nanoseconds to add to CLOCK_REALTIME. It is mapped, so that a change is
 * seen at once and costs nothing. Monotonic clocks stay as they are, as they do when somebody sets a machine's clock.
 * A wait until a time of the wall clock ends when this clock says so, as in the kernel: after a step back it is longer.
 *
 * libfaketime is not used: it turns a wait until a time into one of that length, which no jump prolongs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <dlfcn.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
#define SLICE (SECOND / 20)

static const volatile int64_t none = 0;
static const volatile int64_t *ahead = &none;
static int (*read_clock)(clockid_t, struct timespec *);

__attribute__((constructor)) static void map(void) {
    const char *path = getenv("STEPPED_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    read_clock = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) ahead = mapped;
}

static int64_t nanoseconds(const struct timespec *t) { return t->tv_sec * SECOND + t->tv_nsec; }

static struct timespec of_nanoseconds(int64_t n) {
    struct timespec t = {n / SECOND, n % SECOND};
    return t;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = read_clock ? read_clock(clock, now) : (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        *now = of_nanoseconds(nanoseconds(now) + *ahead);
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec read;
    clock_gettime(CLOCK_REALTIME, &read);
    now->tv_sec = read.tv_sec;
    now->tv_usec = read.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec read;
    clock_gettime(CLOCK_REALTIME, &read);
    if (now) *now = read.tv_sec;
    return read.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
    if (base != TIME_UTC) return 0;
    clock_gettime(CLOCK_REALTIME, now);
    return base;
}

/* A condition does not tell its clock. No machine has been up for sixteen years, and it is later than 1986. */
static int is_monotonic(const struct timespec *until) { return until->tv_sec < 500000000; }

static int wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until) {
    if (is_monotonic(until)) return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, until);
    for (;;) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        int64_t left = nanoseconds(until) - nanoseconds(&now);
        if (left <= 0) return ETIMEDOUT;
        clock_gettime(CLOCK_MONOTONIC, &now);
        struct timespec slice = of_nanoseconds(nanoseconds(&now) + (left < SLICE ? left : SLICE));
        int ended = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &slice);
        if (ended != ETIMEDOUT) return ended;
    }
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    return wait_until(condition, mutex, until);
}

/* glibc's C11 threads are its POSIX threads by other names. */
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    int ended = wait_until((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
    return ended == 0 ? thrd_success : ended == ETIMEDOUT ? thrd_timedout : thrd_error;
}
