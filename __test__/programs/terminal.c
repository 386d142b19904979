// A program on a terminal, by argv[1]:
//
//   report       says what it finds at 0, 1 and 2
//   raw          in raw mode, says the number of each byte that is typed; ends with q
//   sizes        says its size, and says it anew at each SIGWINCH; ends with a line
//   inject       tries what could type into a terminal, or lead out of one
//   own          opens a pseudoterminal of its own, and says its name and what comes through it
//   hoard        opens as many as it can, says how many and why no more, then waits
//   deaf FILE    ignores SIGHUP, reads to the end, and then writes to FILE what writing to the terminal gives
//   linger       leaves a process behind that holds the terminal and ignores signals
//   late         closes 0, 1 and 2, then says something through /dev/tty
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

static void size(void) {
  struct winsize size;
  if (ioctl(0, TIOCGWINSZ, &size) != 0) exit(96);
  printf("size %d %d\n", size.ws_col, size.ws_row);
  fflush(stdout);
}

static void report(void) {
  for (int fd = 0; fd < 3; fd++) {
    const char *name = ttyname(fd);
    printf("%d %s\n", fd, name == NULL ? strerrorname_np(errno) : name);
  }
  printf("leads %d\n", getsid(0) == getpid());
  printf("foreground %d\n", tcgetpgrp(0) == getpgrp());
  printf("session %d\n", tcgetsid(0) == getpid());
  int tty = open("/dev/tty", O_RDWR);
  printf("tty %s\n", tty < 0 ? strerrorname_np(errno) : isatty(tty) ? "OK" : "ENOTTY");
  size();
}

static void raw(void) {
  struct termios settings;
  if (tcgetattr(0, &settings) != 0) exit(96);
  cfmakeraw(&settings);
  if (tcsetattr(0, TCSANOW, &settings) != 0) exit(96);
  dprintf(1, "raw\n");
  unsigned char byte;
  while (read(0, &byte, 1) == 1 && byte != 'q') dprintf(1, "<%d>", byte);
}

static volatile sig_atomic_t resized;

static void on_resize(int signal) {
  (void)signal;
  resized = 1;
}

static void sizes(void) {
  struct sigaction action = {.sa_handler = on_resize};
  sigset_t winch, before;
  sigemptyset(&winch);
  sigaddset(&winch, SIGWINCH);
  sigprocmask(SIG_BLOCK, &winch, &before);
  sigaction(SIGWINCH, &action, NULL);
  size();
  for (;;) {
    struct pollfd keyboard = {.fd = 0, .events = POLLIN};
    if (ppoll(&keyboard, 1, NULL, &before) > 0) return;
    if (resized) size();
    resized = 0;
  }
}

static void tell(const char *what, long result) {
  printf("%s %s\n", what, result < 0 ? strerrorname_np(errno) : "OK");
}

static void inject(void) {
  char byte = 'x';
  int discipline = 0, on = 1;
  tell("tiocsti", ioctl(0, TIOCSTI, &byte));
  tell("tiocsti-high", syscall(SYS_ioctl, 0, 0x100000000 | TIOCSTI, &byte));
  int tty = open("/dev/tty", O_RDWR);
  tell("tiocsti-tty", ioctl(tty, TIOCSTI, &byte));
  tell("tioclinux", ioctl(0, TIOCLINUX, &byte));
  tell("tiocsetd", ioctl(0, TIOCSETD, &discipline));
  tell("tioccons", ioctl(0, TIOCCONS, NULL));
  tell("tiocvhangup", ioctl(0, TIOCVHANGUP, NULL));
  // Those of a master.
  tell("tiocgptpeer", ioctl(0, TIOCGPTPEER, O_RDWR | O_NOCTTY));
  tell("tiocpkt", ioctl(0, TIOCPKT, &on));
  tell("pid-1", open("/proc/1/fd", O_RDONLY));
  tell("console", open("/dev/console", O_RDWR | O_NOCTTY));
  tell("tty0", open("/dev/tty0", O_RDWR | O_NOCTTY));
}

static void own(void) {
  int master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) exit(96);
  const char *name = ptsname(master);
  int slave = open(name, O_RDWR | O_NOCTTY);
  char line[16] = "";
  if (slave < 0 || write(master, "through\n", 8) != 8 || read(slave, line, sizeof line) != 8) exit(95);
  printf("%s %s", name, line);
}

static void hoard(void) {
  int count = 0;
  while (open("/dev/ptmx", O_RDWR | O_NOCTTY) >= 0) count++;
  printf("%d %s\n", count, strerrorname_np(errno));
  fflush(stdout);
  for (;;) pause();
}

static int deaf(const char *path) {
  signal(SIGHUP, SIG_IGN);
  dprintf(1, "ready\n");
  char byte;
  while (read(0, &byte, 1) > 0) {
  }
  const char *after = write(1, "x", 1) < 0 ? strerrorname_np(errno) : "OK";
  int file = open(path, O_WRONLY | O_CREAT, 0644);
  dprintf(file, "%s", after);
  return 7;
}

static void linger(void) {
  if (fork() != 0) {
    dprintf(1, "left\n");
    return;
  }
  for (int number = 1; number < 32; number++) signal(number, SIG_IGN);
  for (;;) pause();
}

static int late(void) {
  close(0), close(1), close(2);
  usleep(100000);
  int tty = open("/dev/tty", O_RDWR);
  return dprintf(tty, "late\n") == 5 ? 0 : 96;
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (strcmp(what, "report") == 0) report();
  else if (strcmp(what, "raw") == 0) raw();
  else if (strcmp(what, "sizes") == 0) sizes();
  else if (strcmp(what, "inject") == 0) inject();
  else if (strcmp(what, "own") == 0) own();
  else if (strcmp(what, "hoard") == 0) hoard();
  else if (strcmp(what, "deaf") == 0 && argc > 2) return deaf(argv[2]);
  else if (strcmp(what, "linger") == 0) linger();
  else if (strcmp(what, "late") == 0) return late();
  else return 97;
  return 0;
}
