// The speed that the kernel allows: fds over a unix stream socket between two processes that only call sendmsg, recvmsg, fstat and
// close. A line "MESSAGES FDS BYTES WINDOW" on standard input runs once, and the seconds are printed. The first line printed
// is the process id of the receiver.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_FDS = 253, MAX_BYTES = 65536 };

struct run {
  int messages;
  int fds;
  int bytes;
  // Messages that the receiver acknowledges with a byte; the sender is at most two of them ahead, which bounds the fds in flight.
  int window;
};

static char buffer[MAX_BYTES];
static union {
  char bytes[CMSG_SPACE(MAX_FDS * sizeof(int))];
  struct cmsghdr aligned;
} control;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void read_fully(int socket, void *into, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t count = read(socket, (char *)into + done, size - done);
    if (count <= 0) exit(count < 0);
    done += (size_t)count;
  }
}

static void receive_run(int socket, const struct run *run) {
  long bytes_left = (long)run->messages * run->bytes;
  const long ack_every = (long)run->window * run->bytes;
  long until_ack = ack_every;
  while (bytes_left > 0) {
    struct iovec vector = {buffer, sizeof(buffer)};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (count <= 0) fail("recvmsg");
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
      const size_t fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (size_t i = 0; i < fds; i++) {
        int fd;
        struct stat status;
        memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
        if (fstat(fd, &status) != 0) fail("fstat");
        close(fd);
      }
    }
    bytes_left -= count;
    until_ack -= count;
    while (until_ack <= 0) {
      if (write(socket, "", 1) != 1) fail("write");
      until_ack += ack_every;
    }
  }
  if (until_ack != ack_every && write(socket, "", 1) != 1) fail("write");
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double send_run(int socket, const struct run *run, const int *fds) {
  const double start = seconds_now();
  char ack;
  int unacknowledged = 0;
  for (int i = 0; i < run->messages; i++) {
    struct iovec vector = {buffer, (size_t)run->bytes};
    struct msghdr message = {.msg_iov = &vector,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE((size_t)run->fds * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)run->fds * sizeof(int));
    memcpy(CMSG_DATA(header), fds, (size_t)run->fds * sizeof(int));
    if (sendmsg(socket, &message, MSG_NOSIGNAL) != run->bytes) fail("sendmsg");
    if ((i + 1) % run->window == 0 && ++unacknowledged == 2) {
      read_fully(socket, &ack, 1);
      unacknowledged--;
    }
  }
  if (run->messages % run->window != 0) unacknowledged++;
  while (unacknowledged-- > 0) read_fully(socket, &ack, 1);
  return seconds_now() - start;
}

int main(void) {
  int sockets[2];
  int fds[MAX_FDS];
  struct run run;
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) fail("socketpair");
  const pid_t receiver = fork();
  if (receiver < 0) fail("fork");
  if (receiver == 0) {
    close(sockets[0]);
    for (;;) {
      read_fully(sockets[1], &run, sizeof(run));
      receive_run(sockets[1], &run);
    }
  }
  close(sockets[1]);
  for (int i = 0; i < MAX_FDS; i++) {
    FILE *file = tmpfile();
    if (!file) fail("tmpfile");
    fds[i] = fileno(file);
  }
  printf("%d\n", receiver);
  fflush(stdout);
  while (scanf("%d %d %d %d", &run.messages, &run.fds, &run.bytes, &run.window) == 4) {
    if (run.fds < 1 || run.fds > MAX_FDS || run.bytes < 1 || run.bytes > MAX_BYTES || run.window < 1) {
      fprintf(stderr, "out of range\n");
      return 1;
    }
    if (write(sockets[0], &run, sizeof(run)) != sizeof(run)) fail("write");
    printf("%.9f\n", send_run(sockets[0], &run, fds));
    fflush(stdout);
  }
  close(sockets[0]);
  waitpid(receiver, NULL, 0);
  return 0;
}
