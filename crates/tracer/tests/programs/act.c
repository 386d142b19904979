// Does what its arguments say, one after the other, and prints what came of each: "NAME 0" or "NAME ERRNO".
// Some words change who does the rest: fork, vfork, thread, untraced, clone3, leaderless, exec-in-thread.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static char **next;
static char *word(void) { return *next ? *next++ : ""; }

static void say(const char *name, long result) {
  char line[128];
  int length = snprintf(line, sizeof line, "%s %s\n", name, result < 0 ? strerrorname_np(errno) : "0");
  if (write(1, line, length) < 0) _exit(99);
}

static int flags_of(const char *mode) {
  if (!strcmp(mode, "r")) return O_RDONLY;
  if (!strcmp(mode, "w")) return O_WRONLY;
  if (!strcmp(mode, "rw")) return O_RDWR;
  if (!strcmp(mode, "c")) return O_WRONLY | O_CREAT;
  if (!strcmp(mode, "t")) return O_RDONLY | O_TRUNC;
  if (!strcmp(mode, "tmp")) return O_RDWR | O_TMPFILE;
  if (!strcmp(mode, "path")) return O_PATH;
  if (!strcmp(mode, "dir")) return O_RDONLY | O_DIRECTORY;
  if (!strcmp(mode, "rn")) return O_RDONLY | O_NOFOLLOW;
  _exit(98);
}

static long shut(long fd) { if (fd >= 0) { int e = errno; close(fd); errno = e; } return fd; }

static void rest(void);
static void *rest_in_thread(void *unused) { rest(); return unused; }
static pthread_t leader;
static void *rest_without_leader(void *unused) { pthread_join(leader, NULL); rest(); exit(7); return unused; }
static int rest_in_clone(void *unused) { (void)unused; rest(); _exit(0); }
static char **exec_argv;
static long calls_before_exec;
static void *exec_in_thread(void *unused) { while (calls_before_exec-- > 0) syscall(SYS_getppid); execv(exec_argv[0], exec_argv); say("execv", -1); return unused; }
static volatile sig_atomic_t handled;
static void handler(int signal) { handled = signal; }

static void wait_for(pid_t pid) {
  int status;
  while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {}
}

static void rest(void) {
  while (*next) {
    char *w = word();
#define IS(name) (!strcmp(w, name))
    if (IS("open")) { char *p = word(); say(w, shut(open(p, flags_of(word()), 0644))); }
    else if (IS("openat")) { int d = open(word(), O_PATH); char *p = word(); say(w, shut(openat(d, p, flags_of(word()), 0644))); shut(d); }
    else if (IS("openat2")) {
      int d = open(word(), O_PATH); char *p = word();
      struct open_how how = {.flags = O_RDONLY, .resolve = strtoul(word(), NULL, 16)};
      say(w, shut(syscall(SYS_openat2, d, p, &how, sizeof how))); shut(d);
    }
    else if (IS("openfd")) { char *p = word(); int fd = open(p, O_RDONLY); char q[64]; sprintf(q, "/proc/self/fd/%d", fd); say(w, shut(open(q, flags_of(word())))); shut(fd); }
    else if (IS("opentask")) { char *p = word(); int fd = open(p, O_RDONLY); char q[64]; sprintf(q, "/proc/thread-self/fd/%d", fd); say(w, shut(open(q, flags_of(word())))); shut(fd); }
    else if (IS("openpipe")) { int p[2]; if (pipe(p)) _exit(97); char q[64]; sprintf(q, "/proc/self/fd/%d", p[1]); say(w, shut(open(q, O_WRONLY))); shut(p[0]); shut(p[1]); }
    else if (IS("creat")) say(w, shut(creat(word(), 0644)));
    else if (IS("stat")) { struct stat s; say(w, syscall(SYS_stat, word(), &s)); }
    else if (IS("lstat")) { struct stat s; say(w, syscall(SYS_lstat, word(), &s)); }
    else if (IS("fstatat")) { struct stat s; say(w, fstatat(AT_FDCWD, word(), &s, AT_SYMLINK_NOFOLLOW)); }
    else if (IS("statx")) { struct statx s; say(w, statx(AT_FDCWD, word(), 0, STATX_BASIC_STATS, &s)); }
    else if (IS("access")) say(w, syscall(SYS_access, word(), R_OK));
    else if (IS("faccessat2")) say(w, syscall(SYS_faccessat2, AT_FDCWD, word(), R_OK, AT_EACCESS));
    else if (IS("readlink")) { char b[256]; say(w, readlink(word(), b, sizeof b)); }
    else if (IS("chmod")) say(w, chmod(word(), 0640));
    else if (IS("fchmod")) { int fd = open(word(), O_RDONLY); say(w, fchmod(fd, 0640)); shut(fd); }
    else if (IS("chown")) say(w, chown(word(), -1, -1));
    else if (IS("lchown")) say(w, lchown(word(), -1, -1));
    else if (IS("unlink")) say(w, unlink(word()));
    else if (IS("rmdir")) say(w, rmdir(word()));
    else if (IS("mkdir")) say(w, mkdir(word(), 0755));
    else if (IS("mknod")) say(w, mknod(word(), S_IFIFO | 0644, 0));
    else if (IS("rename")) { char *a = word(); say(w, rename(a, word())); }
    else if (IS("exchange")) { char *a = word(); say(w, renameat2(AT_FDCWD, a, AT_FDCWD, word(), RENAME_EXCHANGE)); }
    else if (IS("link")) { char *a = word(); say(w, link(a, word())); }
    else if (IS("symlink")) { char *a = word(); say(w, symlink(a, word())); }
    else if (IS("truncate")) say(w, truncate(word(), 0));
    else if (IS("utimensat")) say(w, utimensat(AT_FDCWD, word(), NULL, 0));
    else if (IS("futimens")) { int fd = open(word(), O_RDONLY); say(w, futimens(fd, NULL)); shut(fd); }
    else if (IS("chdir")) say(w, chdir(word()));
    else if (IS("chroot")) say(w, chroot(word()));
    else if (IS("statfs")) { struct statfs s; say(w, statfs(word(), &s)); }
    else if (IS("setxattr")) say(w, setxattr(word(), "user.x", "y", 1, 0));
    else if (IS("getxattr")) { char b[8]; say(w, getxattr(word(), "user.x", b, sizeof b)); }
    else if (IS("execve")) { char *p = word(); char *v[] = {p, NULL}; if (fork() == 0) { execv(p, v); say(w, -1); _exit(1); } wait(NULL); }
    else if (IS("fexecve")) { int fd = open(word(), O_RDONLY); char *v[] = {"x", NULL}, *e[] = {NULL}; if (fork() == 0) { syscall(SYS_execveat, fd, "", v, e, AT_EMPTY_PATH); say(w, -1); _exit(1); } wait(NULL); shut(fd); }
    else if (IS("fault")) say(w, shut(syscall(SYS_open, 8, O_RDONLY)));
    else if (IS("long")) { char *p = malloc(9000); memset(p, 'x', 8999); p[0] = '/'; p[8999] = 0; say(w, shut(open(p, O_RDONLY))); }
    else if (IS("uring")) { char b[256] = {0}; say(w, shut(syscall(SYS_io_uring_setup, 1, b))); }
    else if (IS("listener")) {
      struct sock_filter f = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
      struct sock_fprog g = {1, &f};
      say(w, shut(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &g)));
    }
#ifdef __x86_64__
    else if (IS("int80")) { long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory"); errno = -r; say(w, r); }
    else if (IS("x32")) say(w, syscall(0x40000000 | SYS_getpid));
#endif
    else if (IS("fork")) { pid_t p = fork(); if (!p) { rest(); _exit(0); } wait_for(p); return; }
    else if (IS("vfork")) { pid_t p = syscall(SYS_clone, CLONE_VFORK | SIGCHLD, 0, 0, 0, 0); if (!p) { rest(); _exit(0); } wait_for(p); return; }
    else if (IS("many")) {
      int n = atoi(word());
      for (int i = 0; i < n; i++) if (fork() == 0) { rest(); _exit(0); }
      while (wait(NULL) > 0) {}
      return;
    }
    else if (IS("untraced")) { char *stack = malloc(1 << 16); wait_for(clone(rest_in_clone, stack + (1 << 16), CLONE_UNTRACED | SIGCHLD, NULL)); return; }
    else if (IS("clone3")) {
      struct clone_args args = {.flags = CLONE_UNTRACED, .exit_signal = SIGCHLD};
      pid_t p = syscall(SYS_clone3, &args, sizeof args);
      if (!p) { rest(); _exit(0); }
      say(w, p);
      if (p > 0) { wait_for(p); return; }
    }
    else if (IS("thread")) { pthread_t t; pthread_create(&t, NULL, rest_in_thread, NULL); pthread_join(t, NULL); }
    else if (IS("leaderless")) { pthread_t t; leader = pthread_self(); pthread_create(&t, NULL, rest_without_leader, NULL); pthread_exit(NULL); }
    else if (IS("exec-in-thread") || IS("many-then-exec-in-thread")) {
      if (w[0] == 'm') calls_before_exec = atol(word());
      pthread_t t; exec_argv = next; pthread_create(&t, NULL, exec_in_thread, NULL); pthread_join(t, NULL); }
    else if (IS("alarm")) {  // a signal handler, once without and once with SA_RESTART
      struct sigaction a = {.sa_handler = handler};
      struct itimerval in = {.it_value = {0, 20000}};
      sigaction(SIGALRM, &a, NULL);
      setitimer(ITIMER_REAL, &in, NULL);
      int p[2]; char b; if (pipe(p)) _exit(97);
      say("interrupted", read(p[0], &b, 1));
      a.sa_flags = SA_RESTART;
      sigaction(SIGALRM, &a, NULL);
      handled = 0;
      pid_t writer = fork();
      if (!writer) { kill(getppid(), SIGALRM); usleep(20000); _exit(write(p[1], "x", 1) != 1); }
      long r = read(p[0], &b, 1);
      say("restarted", r == 1 && handled == SIGALRM ? 0 : (errno = EPROTO, -1));
      wait_for(writer);
    }
    else if (IS("stop")) {  // a child stops itself; its parent sees that, and its going on, as it would without a tracer
      pid_t p; int s, gate[2]; char b;
      if (pipe(gate)) _exit(97);
      if (!(p = fork())) { raise(SIGSTOP); _exit(read(gate[0], &b, 1) == 1 ? 5 : 6); }
      say("stopped", waitpid(p, &s, WUNTRACED) == p && WIFSTOPPED(s) && WSTOPSIG(s) == SIGSTOP ? 0 : (errno = EPROTO, -1));
      kill(p, SIGCONT);
      say("continued", waitpid(p, &s, WCONTINUED) == p && WIFCONTINUED(s) ? 0 : (errno = EPROTO, -1));
      if (write(gate[1], "x", 1) != 1) _exit(97);
      say("exited", waitpid(p, &s, 0) == p && WIFEXITED(s) && WEXITSTATUS(s) == 5 ? 0 : (errno = EPROTO, -1));
    }
    else if (IS("race")) {  // one thread changes the path that the other opens
      char *good = word(), *bad = word(); int n = atoi(word()), got = 0;
      char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      strcpy(shared, good);
      pid_t p = fork();
      if (!p) for (;;) { strcpy(shared, bad); strcpy(shared, good); }
      for (int i = 0; i < n; i++) {
        int fd = open(shared, O_RDONLY); char b[6] = "";
        if (fd >= 0) { if (read(fd, b, 5) > 0 && !strcmp(b, "secre")) got++; close(fd); }
      }
      kill(p, SIGKILL); wait_for(p);
      printf("leaked %d of %d\n", got, n); fflush(stdout);
    }
    else if (IS("sigsys")) raise(SIGSYS);
    else if (IS("forbidden")) syscall(SYS_sysinfo, 1, 2, 3);
    else if (IS("hang")) for (;;) pause();
    else if (IS("cpus")) { cpu_set_t s; sched_getaffinity(0, sizeof s, &s); say(CPU_COUNT(&s) == sysconf(_SC_NPROCESSORS_CONF) ? "all" : "bound", 0); }
    else if (IS("getppid")) { long n = atol(word()); for (long i = 0; i < n; i++) syscall(SYS_getppid); }
    else if (IS("stats")) { long n = atol(word()); char *p = word(); struct stat st; for (long i = 0; i < n; i++) syscall(SYS_stat, p, &st); }
    else if (IS("exit")) exit(atoi(word()));
    else { fprintf(stderr, "%s?\n", w); _exit(96); }
  }
}

int main(int argc, char **argv) {
  (void)argc;
  next = argv + 1;
  rest();
  return 0;
}
