"""What the kernel knows of connections and processes: bytes not read yet, memory, time."""

import errno
import os
import socket
import struct
import threading

_SOCK_DIAG = 4
_BY_FAMILY = 20
_ERROR = 2
_LISTENING = 10
_ANY = 0xFFFFFFFF
_local = threading.local()


def _channel():
  if not hasattr(_local, "channel"):
    _local.channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG)
  return _local.channel


def unread(local, remote):
  """Bytes that arrived at the TCP socket `local` -> `remote` and were not read, or None when it is gone."""
  names = (struct.pack("!HH", local[1], remote[1])
           + socket.inet_aton(local[0]) + bytes(12)
           + socket.inet_aton(remote[0]) + bytes(12)
           + struct.pack("=III", 0, _ANY, _ANY))
  body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY) + names
  channel = _channel()
  channel.send(struct.pack("=IHHII", 16 + len(body), _BY_FAMILY, 1, 1, 0) + body)
  answer = channel.recv(8192)
  if struct.unpack_from("=H", answer, 4)[0] == _ERROR:
    code = -struct.unpack_from("=i", answer, 16)[0]
    if code == errno.ENOENT:
      return None
    raise OSError(code, os.strerror(code))
  if answer[17] == _LISTENING:  # the kernel falls back to the listener when the connection is gone
    return None
  return struct.unpack_from("=I", answer, 16 + 4 + 48 + 4)[0]


def listening(address):
  """The inode of the socket that listens at exactly this IPv4 address and port, None when nobody does."""
  name = f"{struct.unpack('=I', socket.inet_aton(address[0]))[0]:08X}:{address[1]:04X}"
  with open("/proc/net/tcp", encoding="ascii") as lines:
    for fields in map(str.split, lines):
      if fields[1] == name and int(fields[3], 16) == _LISTENING:
        return int(fields[9])
  return None


def sockets(pid):
  """The inodes of a process's sockets."""
  found = set()
  for name in os.listdir(f"/proc/{pid}/fd"):
    try:
      target = os.readlink(f"/proc/{pid}/fd/{name}")
    except FileNotFoundError:
      continue  # closed meanwhile
    if target.startswith("socket:["):
      found.add(int(target[8:-1]))
  return found


def resident(pid):
  """Bytes of memory a process has written to and holds alone.

  Clean pages do not count: those of the binary are shared while another process runs it, and private when that ends."""
  total = 0
  with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as lines:
    for line in lines:
      if line.startswith("Private_Dirty:"):
        total += int(line.split()[1]) * 1024
  return total


def cpu(pid):
  """Seconds of CPU that the threads of a process have used, those that have ended not counted."""
  total = 0
  for task in os.listdir(f"/proc/{pid}/task"):
    with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as text:
      total += int(text.read().split()[0])
  return total / 1e9
