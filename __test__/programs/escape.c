// Tries what a program in a container must not be able to do. One line for each attempt: what it was, and errno (0: it worked).
//
//   escape open MODE PATH...      opens each path; MODE is r, w (O_WRONLY) or c (O_WRONLY | O_CREAT)
//   escape privileges             system calls that take a capability
//   escape namespaces             every way into a new namespace, and back into its own
//   escape devices                device files
//   escape listen NAME            makes an abstract AF_UNIX socket, and keeps it until the end of standard input
//   escape connect NAME           connects to one
//   escape terminal               what a controlling terminal would allow, on descriptor 0
//   escape setuid PATH            executes PATH (set-user-ID) with the argument `ids`
//   escape ids                    real, effective and saved user id
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void tell(const char *what, long result) { printf("%s %d\n", what, result < 0 ? errno : 0); }

static void open_all(const char *mode, char **paths) {
  int flags = mode[0] == 'r' ? O_RDONLY : mode[0] == 'w' ? O_WRONLY : O_WRONLY | O_CREAT;
  for (; *paths != NULL; paths++) tell(*paths, open(*paths, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0644));
}

static long raise_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2];
  memset(data, 0xff, sizeof data);
  return syscall(SYS_capset, &header, data);
}

static void privileges(void) {
  // Where something would be changed if it were allowed, it is changed to what it is.
  struct timeval now;
  struct timespec then;
  gettimeofday(&now, NULL);
  clock_gettime(CLOCK_REALTIME, &then);
  struct timex adjust = {.modes = ADJ_TICK, .tick = 10000};
  struct sched_param realtime = {.sched_priority = 1};
  gid_t none = 0;
  tell("mount-tmpfs", mount("none", "/tmp", "tmpfs", 0, NULL));
  tell("mount-cgroup", mount("none", "/tmp", "cgroup", 0, "memory"));
  tell("mount-cgroup2", mount("none", "/tmp", "cgroup2", 0, NULL));
  tell("mount-proc", mount("none", "/tmp", "proc", 0, NULL));
  tell("mount-bind", mount("/usr", "/tmp", NULL, MS_BIND, NULL));
  tell("remount-root", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
  tell("remount-proc", mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND, NULL));
  tell("umount-w", umount2("/w", MNT_DETACH));
  tell("umount-proc", umount2("/proc", MNT_DETACH));
  tell("umount-mask", umount2("/proc/kcore", MNT_DETACH));
  tell("pivot-root", syscall(SYS_pivot_root, "/tmp", "/tmp"));
  tell("chroot", chroot("/tmp"));
  tell("fsopen", syscall(SYS_fsopen, "tmpfs", 0));
  tell("open-tree-clone", syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE));
  tell("move-mount", syscall(SYS_move_mount, AT_FDCWD, "/w", AT_FDCWD, "/tmp", 0));
  struct mount_attr attributes = {.attr_clr = MOUNT_ATTR_RDONLY};
  tell("mount-setattr", syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &attributes, sizeof attributes));
  struct {
    struct file_handle handle;
    unsigned char bytes[128];
  } handle = {.handle = {.handle_bytes = 8, .handle_type = 1}};
  tell("open-by-handle", syscall(SYS_open_by_handle_at, AT_FDCWD, &handle, O_RDONLY));
  tell("setuid", setresuid(0, 0, 0));
  tell("setgid", setresgid(0, 0, 0));
  tell("setgroups", setgroups(1, &none));
  tell("capset", raise_capabilities());
  tell("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0));
  tell("securebits", prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
  tell("no-new-privs-off", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
  tell("sethostname", sethostname("x", 1));
  tell("setdomainname", setdomainname("x", 1));
  tell("settimeofday", settimeofday(&now, NULL));
  tell("clock-settime", clock_settime(CLOCK_REALTIME, &then));
  tell("adjtimex", adjtimex(&adjust));
  tell("reboot", reboot(RB_DISABLE_CAD));
  tell("kexec", syscall(SYS_kexec_load, 0, 0, NULL, 0));
  tell("init-module", syscall(SYS_init_module, "", 0, ""));
  tell("delete-module", syscall(SYS_delete_module, "hotcell-no-such-module", O_NONBLOCK));
  tell("swapon", swapon("/w/none", 0));
  tell("swapoff", swapoff("/w/none"));
  tell("acct", acct("/w/none"));
  tell("syslog-console", klogctl(7, NULL, 0));
#ifdef __x86_64__
  tell("ioperm", ioperm(0x80, 1, 1));
  tell("iopl", iopl(3));
#endif
  tell("nice", setpriority(PRIO_PROCESS, 0, -20));
  tell("realtime", sched_setscheduler(0, SCHED_FIFO, &realtime));
  tell("chown", (close(open("/w/mine", O_CREAT | O_WRONLY, 0600)), chown("/w/mine", 0, 0)));
  tell("ptrace-init", syscall(SYS_ptrace, 16 /* PTRACE_ATTACH */, 1, 0, 0));
  struct rlimit more = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  tell("rlimit-memlock", setrlimit(RLIMIT_MEMLOCK, &more));
  struct rlimit core = {.rlim_cur = 2, .rlim_max = 2};
  tell("rlimit-core", setrlimit(RLIMIT_CORE, &core));
}

static int end_at_once(void *unused) {
  (void)unused;
  _exit(0);
}

static void namespaces(void) {
  static const struct {
    const char *name;
    int flag;
  } kinds[] = {{"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS}, {"pid", CLONE_NEWPID}, {"net", CLONE_NEWNET},
               {"ipc", CLONE_NEWIPC},   {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}, {"time", 0x80}};
  static char stack[65536] __attribute__((aligned(16)));
  char name[64];
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    snprintf(name, sizeof name, "unshare-%s", kinds[i].name);
    tell(name, unshare(kinds[i].flag));
    // The low byte of clone's flags is a signal: a time namespace takes clone3 (or unshare).
    if (kinds[i].flag != 0x80) {
      snprintf(name, sizeof name, "clone-%s", kinds[i].name);
      int pid = clone(end_at_once, stack + sizeof stack, kinds[i].flag | SIGCHLD, NULL);
      tell(name, pid);
      if (pid > 0) waitpid(pid, NULL, 0);
    }
    snprintf(name, sizeof name, "clone3-%s", kinds[i].name);
    uint64_t arguments[8] = {(uint64_t)kinds[i].flag, 0, 0, 0, SIGCHLD, 0, 0, 0};
    long child = syscall(SYS_clone3, arguments, sizeof arguments);
    if (child == 0) _exit(0);
    tell(name, child);
    if (child > 0) waitpid((pid_t)child, NULL, 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[i].name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    snprintf(name, sizeof name, "setns-%s", kinds[i].name);
    tell(name, setns(fd, 0));
    close(fd);
  }
}

static void devices(void) {
  tell("mknod-null", mknod("/w/null", S_IFCHR | 0666, makedev(1, 3)));
  tell("mknod-mem", mknod("/w/mem", S_IFCHR | 0666, makedev(1, 1)));
  tell("mknod-disk", mknod("/w/disk", S_IFBLK | 0666, makedev(254, 0)));
  tell("mknod-fuse", mknod("/tmp/fuse", S_IFCHR | 0666, makedev(10, 229)));
}

static void abstract_socket(const char *name, int listens) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  memcpy(address.sun_path + 1, name, length);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
  if (!listens) {
    tell("connect", connect(fd, (struct sockaddr *)&address, size));
    return;
  }
  tell("listen", bind(fd, (struct sockaddr *)&address, size) != 0 ? -1 : listen(fd, 1));
  fflush(stdout);
  while (read(0, &address, 1) > 0) {
  }
}

static void terminal(void) {
  char byte = 'x';
  tell("tiocsti", ioctl(0, TIOCSTI, &byte));
  tell("tiocsti-high", syscall(SYS_ioctl, 0, 0x100000000 | TIOCSTI, &byte));
  tell("tioclinux", ioctl(0, TIOCLINUX, &byte));
  tell("tty", open("/dev/tty", O_RDWR));
  printf("leads-session %d\n", getsid(0) == getpid() ? 0 : 1);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "open") == 0 && argc > 2) {
    open_all(argv[2], argv + 3);
  } else if (strcmp(what, "privileges") == 0) {
    privileges();
  } else if (strcmp(what, "namespaces") == 0) {
    namespaces();
  } else if (strcmp(what, "devices") == 0) {
    devices();
  } else if (strcmp(what, "connect") == 0 && argc > 2) {
    abstract_socket(argv[2], 0);
  } else if (strcmp(what, "listen") == 0 && argc > 2) {
    abstract_socket(argv[2], 1);
  } else if (strcmp(what, "terminal") == 0) {
    terminal();
  } else if (strcmp(what, "setuid") == 0 && argc > 2) {
    execl(argv[2], argv[2], "ids", NULL);
    tell("exec", -1);
  } else if (strcmp(what, "ids") == 0) {
    uid_t real, effective, saved;
    if (getresuid(&real, &effective, &saved) != 0) return 98;
    printf("real %u\neffective %u\nsaved %u\n", real, effective, saved);
  } else {
    return 97;
  }
  return 0;
}
