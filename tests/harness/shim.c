/* A disk that fails on command, for the process that loads this library first (LD_PRELOAD).
 *
 * Owns nothing but the answers to calls of the C library that make a name, take space or sync, on paths below the folder FIRE_DIR.
 * What happens is said by the file FIRE_CONTROL, shared with the test and looked at anew by each call; its words are named in
 * shim.rs. Each call that fails, and with `trace` every call, is a line in the file FIRE_LOG: what, tab, path, and tab, new path.
 * Lines are written when the call has ended, so that of two calls of one thread the first stands first.
 *
 * Not seen: calls past the C library (rustix makes its own; the daemon asks it for locks, free space and hints only).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct control {
    uint64_t full_from;  /* 0: never; else the number of the first call for space that fails */
    uint64_t space_calls; /* calls for space so far */
    uint64_t space_failed;
    uint64_t sync_from; /* the same for syncs */
    uint64_t sync_calls;
    uint64_t sync_failed;
    uint64_t hold;    /* syncs of files in a folder `journal` wait while this is set */
    uint64_t holding; /* syncs that wait */
    uint64_t trace;
};

static struct control *control;
static char dir[PATH_MAX];
static size_t dir_len;
static int log_fd = -1;

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("FIRE_DIR"), *shared = getenv("FIRE_CONTROL"), *lines = getenv("FIRE_LOG");
    if (!where || !shared || !lines || strlen(where) >= sizeof dir) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, shared, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    syscall(SYS_close, fd);
    if (mapped == MAP_FAILED) return;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, lines, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    strcpy(dir, where);
    dir_len = strlen(dir);
    control = mapped;
}

static uint64_t get(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_SEQ_CST); }
static uint64_t add(uint64_t *word, uint64_t more) { return __atomic_add_fetch(word, more, __ATOMIC_SEQ_CST); }

static int below(const char *path) {
    return !strncmp(path, dir, dir_len) && (path[dir_len] == '/' || path[dir_len] == 0);
}

/* The path behind a descriptor; 0 if it is not below the folder. */
static int of_fd(int fd, char *path) {
    char link[40];
    if (!control || fd < 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    return below(path);
}

/* The path of a name; 0 if it is not below the folder. */
static int of_name(int at, const char *name, char *path) {
    if (!control || !name) return 0;
    if (name[0] == '/') {
        if (strlen(name) >= PATH_MAX) return 0;
        strcpy(path, name);
        return below(path);
    }
    if (at == AT_FDCWD || !of_fd(at, path)) return 0;
    size_t len = strlen(path);
    if (len + strlen(name) + 2 >= PATH_MAX) return 0;
    path[len] = '/';
    strcpy(path + len + 1, name);
    return 1;
}

static void line(const char *what, const char *path, const char *to) {
    char text[2 * PATH_MAX + 64];
    int saved = errno;
    int n = snprintf(text, sizeof text, "%s\t%s%s%s\n", what, path, to ? "\t" : "", to ? to : "");
    if (log_fd >= 0 && n > 0 && (size_t)n < sizeof text) syscall(SYS_write, log_fd, text, (size_t)n);
    errno = saved;
}

static void traced(const char *what, const char *path, const char *to) {
    if (get(&control->trace)) line(what, path, to);
}

/* Whether a call for space has to fail: 0 no, 1 yes, 2 it is the first, of which a write still gets half. */
static int full(const char *what, const char *path) {
    uint64_t number = add(&control->space_calls, 1), from = get(&control->full_from);
    if (!from || number < from) return 0;
    char text[64];
    add(&control->space_failed, 1);
    snprintf(text, sizeof text, "ENOSPC %s", what);
    line(text, path, NULL);
    return number == from ? 2 : 1;
}

static int no_space(void) {
    errno = ENOSPC;
    return -1;
}

/* --- Names */

static int make(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    if ((flags & O_CREAT) && of_name(at, name, path)) {
        if (syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0 && full("create", path)) return no_space();
        int fd = (int)syscall(SYS_openat, at, name, flags, mode);
        if (fd >= 0) traced("create", path, NULL);
        return fd;
    }
    return (int)syscall(SYS_openat, at, name, flags, mode);
}

#define MODE(flags, last)                              \
    mode_t mode = 0;                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {           \
        va_list rest;                                  \
        va_start(rest, last);                          \
        mode = (mode_t)va_arg(rest, unsigned);         \
        va_end(rest);                                  \
    }

int open(const char *name, int flags, ...) { MODE(flags, flags) return make(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags, flags) return make(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int at, const char *name, int flags, ...) { MODE(flags, flags) return make(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE(flags, flags) return make(at, name, flags | O_LARGEFILE, mode); }

int mkdirat(int at, const char *name, mode_t mode) {
    char path[PATH_MAX];
    int mine = of_name(at, name, path);
    if (mine && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0 && full("mkdir", path)) return no_space();
    int done = (int)syscall(SYS_mkdirat, at, name, mode);
    if (mine && done == 0) traced("mkdir", path, NULL);
    return done;
}
int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

static int moved(int from_at, const char *from, int at, const char *name, unsigned flags) {
    char old[PATH_MAX], path[PATH_MAX];
    int mine = of_name(at, name, path);
    if (!of_name(from_at, from, old)) strcpy(old, "?");
    if (mine && full("rename", path)) return no_space();
    int done = (int)syscall(SYS_renameat2, from_at, from, at, name, flags);
    if (mine && done == 0) traced("rename", old, path);
    return done;
}
int rename(const char *from, const char *name) { return moved(AT_FDCWD, from, AT_FDCWD, name, 0); }
int renameat(int from_at, const char *from, int at, const char *name) { return moved(from_at, from, at, name, 0); }
int renameat2(int from_at, const char *from, int at, const char *name, unsigned flags) { return moved(from_at, from, at, name, flags); }

int linkat(int from_at, const char *from, int at, const char *name, int flags) {
    char path[PATH_MAX];
    if (of_name(at, name, path) && full("link", path)) return no_space();
    return (int)syscall(SYS_linkat, from_at, from, at, name, flags);
}
int link(const char *from, const char *name) { return linkat(AT_FDCWD, from, AT_FDCWD, name, 0); }

int symlinkat(const char *from, int at, const char *name) {
    char path[PATH_MAX];
    if (of_name(at, name, path) && full("symlink", path)) return no_space();
    return (int)syscall(SYS_symlinkat, from, at, name);
}
int symlink(const char *from, const char *name) { return symlinkat(from, AT_FDCWD, name); }

int bind(int fd, const struct sockaddr *address, socklen_t len) {
    char path[PATH_MAX];
    if (address && address->sa_family == AF_UNIX && len > offsetof(struct sockaddr_un, sun_path)) {
        const struct sockaddr_un *unix_address = (const struct sockaddr_un *)address;
        size_t bytes = len - offsetof(struct sockaddr_un, sun_path);
        if (bytes < sizeof path) {
            memcpy(path, unix_address->sun_path, bytes);
            path[bytes] = 0;
            if (control && below(path) && full("bind", path)) return no_space();
        }
    }
    return (int)syscall(SYS_bind, fd, address, len);
}

/* --- Bytes */

static size_t length(const struct iovec *parts, int count) {
    size_t sum = 0;
    for (int i = 0; i < count; i++) sum += parts[i].iov_len;
    return sum;
}

/* Bytes that a write of `bytes` may write; -1 if it has to fail. A full disk takes what fits of a write, and only then nothing. */
static ssize_t fits(int fd, const char *what, size_t bytes, char *path, int *mine) {
    *mine = bytes > 0 && of_fd(fd, path);
    int state = *mine ? full(what, path) : 0;
    if (state == 0) return (ssize_t)bytes;
    return state == 2 && bytes > 1 ? (ssize_t)(bytes / 2) : no_space();
}

#define WRITE(what, bytes, whole, half)                       \
    char path[PATH_MAX];                                      \
    int mine;                                                 \
    ssize_t room = fits(fd, what, bytes, path, &mine);        \
    if (room < 0) return -1;                                  \
    ssize_t done = (size_t)room == (bytes) ? (whole) : (half); \
    if (mine && done > 0) traced(what, path, NULL);           \
    return done;

ssize_t write(int fd, const void *from, size_t bytes) {
    WRITE("write", bytes, syscall(SYS_write, fd, from, bytes), syscall(SYS_write, fd, from, (size_t)room))
}
ssize_t pwrite64(int fd, const void *from, size_t bytes, off64_t at) {
    WRITE("write", bytes, syscall(SYS_pwrite64, fd, from, bytes, at), syscall(SYS_pwrite64, fd, from, (size_t)room, at))
}
ssize_t pwrite(int fd, const void *from, size_t bytes, off_t at) { return pwrite64(fd, from, bytes, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
    WRITE("write", length(parts, count), syscall(SYS_writev, fd, parts, count),
          syscall(SYS_write, fd, parts[0].iov_base, parts[0].iov_len < (size_t)room ? parts[0].iov_len : (size_t)room))
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    WRITE("write", length(parts, count), syscall(SYS_pwritev, fd, parts, count, at, 0),
          syscall(SYS_pwrite64, fd, parts[0].iov_base, parts[0].iov_len < (size_t)room ? parts[0].iov_len : (size_t)room, at))
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return pwritev64(fd, parts, count, at); }

ssize_t copy_file_range(int from, off64_t *from_at, int fd, off64_t *at, size_t bytes, unsigned flags) {
    WRITE("copy", bytes, syscall(SYS_copy_file_range, from, from_at, fd, at, bytes, flags),
          syscall(SYS_copy_file_range, from, from_at, fd, at, (size_t)room, flags))
}
ssize_t sendfile64(int fd, int from, off64_t *at, size_t bytes) {
    WRITE("copy", bytes, syscall(SYS_sendfile, fd, from, at, bytes), syscall(SYS_sendfile, fd, from, at, (size_t)room))
}
ssize_t sendfile(int fd, int from, off_t *at, size_t bytes) { return sendfile64(fd, from, at, bytes); }

int ftruncate64(int fd, off64_t size) {
    char path[PATH_MAX];
    struct stat now;
    int mine = of_fd(fd, path);
    if (mine && fstat(fd, &now) == 0 && now.st_size < size && full("grow", path)) return no_space();
    int done = (int)syscall(SYS_ftruncate, fd, size);
    if (mine && done == 0) traced("truncate", path, NULL);
    return done;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int fallocate64(int fd, int mode, off64_t at, off64_t bytes) {
    char path[PATH_MAX];
    if (of_fd(fd, path) && full("fallocate", path)) return no_space();
    return (int)syscall(SYS_fallocate, fd, mode, at, bytes);
}
int fallocate(int fd, int mode, off_t at, off_t bytes) { return fallocate64(fd, mode, at, bytes); }
int posix_fallocate64(int fd, off64_t at, off64_t bytes) {
    char path[PATH_MAX];
    if (of_fd(fd, path) && full("fallocate", path)) return ENOSPC;
    return syscall(SYS_fallocate, fd, 0, at, bytes) == 0 ? 0 : errno;
}
int posix_fallocate(int fd, off_t at, off_t bytes) { return posix_fallocate64(fd, at, bytes); }

/* --- Syncs */

/* Whether the sync has to fail. */
static int broken(const char *what, const char *path) {
    if (get(&control->hold) && strstr(path, "/journal/")) {
        add(&control->holding, 1);
        while (get(&control->hold)) {
            struct timespec moment = {0, 2000000};
            nanosleep(&moment, NULL);
        }
        add(&control->holding, (uint64_t)-1);
    }
    uint64_t number = add(&control->sync_calls, 1), from = get(&control->sync_from);
    if (!from || number < from) return 0;
    char text[64];
    add(&control->sync_failed, 1);
    snprintf(text, sizeof text, "EIO %s", what);
    line(text, path, NULL);
    errno = EIO;
    return 1;
}

#define SYNC(what, call)                                 \
    char path[PATH_MAX];                                 \
    int mine = of_fd(fd, path);                          \
    if (mine && broken(what, path)) return -1;           \
    int done = (int)(call);                              \
    if (mine && done == 0) traced("sync", path, NULL);   \
    return done;

int fsync(int fd) { SYNC("fsync", syscall(SYS_fsync, fd)) }
int fdatasync(int fd) { SYNC("fdatasync", syscall(SYS_fdatasync, fd)) }
int syncfs(int fd) { SYNC("syncfs", syscall(SYS_syncfs, fd)) }
int sync_file_range(int fd, off64_t at, off64_t bytes, unsigned flags) {
    char path[PATH_MAX];
    if (of_fd(fd, path) && broken("sync_file_range", path)) return -1;
    /* Not traced as a sync: it makes nothing durable by itself. */
    return (int)syscall(SYS_sync_file_range, fd, at, bytes, flags);
}
