// network loopback         a server and a client on 127.0.0.1; writes what the client got
// network connect PORT     connects to 127.0.0.1; exits with errno, or writes what it got
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int forward(struct sockaddr_in *address) {
  int client = socket(AF_INET, SOCK_STREAM, 0);
  if (client < 0 || connect(client, (struct sockaddr *)address, sizeof *address) != 0) return errno;
  char text[64];
  ssize_t length;
  while ((length = read(client, text, sizeof text)) > 0) {
    if (write(1, text, (size_t)length) != length) return 98;
  }
  return 0;
}

int main(int argc, char **argv) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (argc > 2 && strcmp(argv[1], "connect") == 0) {
    address.sin_port = htons((uint16_t)atoi(argv[2]));
    return forward(&address);
  }
  int server = socket(AF_INET, SOCK_STREAM, 0);
  socklen_t size = sizeof address;
  if (server < 0 || bind(server, (struct sockaddr *)&address, size) != 0 || listen(server, 1) != 0) return errno;
  if (getsockname(server, (struct sockaddr *)&address, &size) != 0) return errno;
  if (fork() == 0) {
    int connection = accept(server, NULL, NULL);
    _exit(connection >= 0 && write(connection, "hello from inside", 17) == 17 ? 0 : 1);
  }
  return forward(&address);
}
