"""What every measurement needs: the C programs built, children pinned and always stopped, peers installed."""
import base64
import ctypes
import hashlib
import hmac
import http.client
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = HERE / "bin"
PROGRAMS = {
    "origin": ("origin.c", "origin_answers.c"),
    "load": ("load.c", "load_connection.c", "load_answer.c", "load_socket.c"),
}
# What the policies of all proxies are given: a limit and credits that nobody reaches.
SECRET = "bench" * 8
RATE_LIMIT, CREDITS, USERS = 1_000_000, 1_000_000, 1000
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


class Failed(Exception):
    """A measurement cannot go on; the message is for the reader of the terminal."""


def note(*words):
    """Progress goes to stderr, so that stdout holds the results only."""
    print(*words, file=sys.stderr, flush=True)


def build():
    """Compiles the C programs into bench/bin/ where they are older than a source."""
    compiler = shutil.which("clang") or shutil.which("cc")
    if not compiler:
        raise Failed("no C compiler: neither clang nor cc is on the PATH")
    BIN.mkdir(exist_ok=True)
    headers = max(header.stat().st_mtime for header in HERE.glob("*.h"))
    for name, sources in PROGRAMS.items():
        paths, program = [HERE / source for source in sources], BIN / name
        newest = max(headers, *(path.stat().st_mtime for path in paths))
        if program.exists() and program.stat().st_mtime > newest:
            continue
        command = [compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, *paths, "-lssl", "-lcrypto"]
        if subprocess.run(command).returncode:
            raise Failed(f"{', '.join(sources)} do not compile; the headers of OpenSSL come with libssl-dev")


def find_program(name):
    """The path of a program, also where Debian puts servers; None if it is not installed."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def is_installed(package, program):
    """Whether a Debian package is there: by its program, or for want of one by what dpkg says."""
    if program:
        return bool(find_program(program))
    query = shutil.which("dpkg-query")
    return bool(query) and b" installed" in subprocess.run([query, "-W", "-f", "${Status}", package],
                                                           capture_output=True, timeout=30).stdout


def install(packages):
    """Installs the Debian packages that are missing (package: program), without letting their services start."""
    missing = sorted(package for package, program in packages.items() if not is_installed(package, program))
    if not missing:
        return
    if os.geteuid():
        raise Failed(f"missing: {' '.join(missing)}; install them as root: apt-get install {' '.join(missing)}")
    note(f"installing from Debian: {' '.join(missing)}")
    # Debian asks this script before it starts a service; 101 means "do not".
    guard = Path("/usr/sbin/policy-rc.d")
    ours = not guard.exists()
    try:
        if ours:
            guard.write_text("#!/bin/sh\nexit 101\n")
            guard.chmod(0o755)
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        quiet = {"stdout": subprocess.DEVNULL, "timeout": 600, "env": environment}
        subprocess.run(["apt-get", "update", "-qq"], **quiet)
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
        if subprocess.run(command, **quiet).returncode:
            raise Failed(f"apt-get could not install {' '.join(missing)}")
    finally:
        if ours:
            guard.unlink(missing_ok=True)


def free_ports(count):
    """Ports of 127.0.0.1 that nobody uses now. All are held until the last is found, so they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def process_tree(root):
    """The process and everything below it that is alive."""
    children = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended between the listing and the reading
        if fields[0] != "Z":
            children.setdefault(int(fields[1]), []).append(int(entry))
    found = [root]
    for pid in found:
        found.extend(children.get(pid, []))
    return found


def memory_kib(pids):
    """The memory of processes, pages that they share divided among them (PSS), in KiB."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue  # ended meanwhile
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])
    return total


def base64url(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def token(user, secret=SECRET, seconds=86400):
    """A token (HS256) of a user for so many seconds from now."""
    now = int(time.time())
    claims = {"iss": "bench", "sub": user, "tier": "pro", "iat": now, "exp": now + seconds}
    text = base64url(b'{"alg":"HS256","typ":"JWT"}') + "." + base64url(json.dumps(claims).encode())
    return text + "." + base64url(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())


class Child:
    """A process on one core, in a session of its own, which ends with this one whatever happens."""

    def __init__(self, rig, name, argv, core, out=None, folder=None, env=None):
        self.name = name
        self.out = out
        self.ended = False

        def prepare():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
            os.sched_setaffinity(0, {core})
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            rig.set_priority()

        target = open(out, "ab") if out else subprocess.PIPE
        try:
            self.process = subprocess.Popen(
                [str(word) for word in argv], stdin=subprocess.DEVNULL, stdout=target, cwd=folder, env=env,
                stderr=subprocess.STDOUT if out else None, preexec_fn=prepare, start_new_session=True, text=True)
        except OSError as error:
            raise Failed(f"{name} does not start: {error}") from None
        finally:
            if out:
                target.close()
        rig.children.append(self)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def output(self, limit=2000):
        """The end of what it printed."""
        return Path(self.out).read_text(errors="replace")[-limit:] if self.out else ""

    def stop(self, seconds=5):
        """SIGTERM; after `seconds` SIGKILL to it and to what it has started. Returns what was still in its pipe."""
        if self.ended:
            return None
        self.ended = True
        if self.alive():
            family = process_tree(self.pid)
            self.process.terminate()
            try:
                return self.process.communicate(timeout=seconds)[0]
            except subprocess.TimeoutExpired:
                note(f"{self.name} did not end within {seconds} s of SIGTERM; killed")
                for pid in reversed(family):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        return self.process.communicate()[0]


class Rig:
    """Cores, a temporary folder and the children of one run. Leaving its `with` stops every child by its pid."""

    def __init__(self, nice=-10, keep=False):
        cores = sorted(os.sched_getaffinity(0))
        self.proxy_core, self.load_core = cores[0], cores[min(1, len(cores) - 1)]
        self.nice = nice if os.geteuid() == 0 or nice > 0 else 0
        self.keep = keep
        self.children = []
        self.folder = None
        if len(cores) == 1:
            note("one core only, for proxy and client: CPU per request still compares; rates and latencies do not.")

    def __enter__(self):
        def leave(number, _frame):
            raise SystemExit(128 + number)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, leave)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
        self.folder = Path(tempfile.mkdtemp(prefix="edge-bench-"))
        return self

    def __exit__(self, *_):
        # A second Ctrl-C must not cut the clean-up short: it is bounded in time by itself.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for child in reversed(self.children):
            try:
                child.stop(2)
            except (OSError, ValueError) as error:  # the others must be stopped all the same
                note(f"{child.name}: {error}")
        if self.keep:
            note(f"kept {self.folder}")
        else:
            shutil.rmtree(self.folder, ignore_errors=True)

    def set_priority(self):
        """Runs in the child. Where the kernel groups processes by session, the group's priority counts, not theirs."""
        if not self.nice:
            return
        os.setpriority(os.PRIO_PROCESS, 0, self.nice)
        try:
            Path("/proc/self/autogroup").write_text(str(self.nice))
        except OSError:
            pass

    def origin(self, *options):
        """Starts the origin; its port is in `port`."""
        return Origin(self, options)

    def begin_load(self, port, *options):
        """Starts the load client; `end_load` waits for its result."""
        return Child(self, "load", [BIN / "load", "--port", port, *options], self.load_core)

    def end_load(self, child, seconds):
        """The JSON object of a load client. `seconds` bounds it from outside, beyond its own limits."""
        try:
            text = child.process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            child.stop(1)
            raise Failed(f"the load client did not end within {seconds} s") from None
        child.ended = True
        self.children.remove(child)
        lines = text.splitlines()
        if child.process.returncode not in (0, 1) or not lines or not lines[-1].startswith("{"):
            raise Failed(f"the load client could not measure (exit code {child.process.returncode})")
        return json.loads(lines[-1])

    def load(self, port, *options, seconds=30):
        """One run of the load client as its JSON object."""
        return self.end_load(self.begin_load(port, *options), seconds)

    def ask(self, port, method, path, bearer=None, seconds=5):
        """One request by Python's own client: status and body, or the words of what went wrong."""
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
        try:
            client.request(method, path, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})
            answer = client.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, str(error)
        finally:
            client.close()

    def tokens(self):
        """A file with the token of each user, a line each."""
        path = self.folder / "tokens"
        if not path.exists():
            path.write_text("".join(token(f"user-{number:05d}") + "\n" for number in range(USERS)))
        return path

    def certificates(self):
        """Certificates and keys that OpenSSL makes, by name: rsa_crt, rsa_key, rsa_pem (both in one), ec_…"""
        kinds = {"rsa": ("rsa:2048",), "ec": ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")}
        paths = {f"{kind}_{part}": self.folder / f"{kind}.{part}" for kind in kinds for part in ("crt", "key", "pem")}
        for kind, options in kinds.items():
            crt, key, pem = (paths[f"{kind}_{part}"] for part in ("crt", "key", "pem"))
            if pem.exists():
                continue
            command = ["openssl", "req", "-x509", "-nodes", "-newkey", *options, "-sha256", "-days", "30", "-subj",
                       "/CN=bench.example", "-addext", "subjectAltName=DNS:bench.example", "-keyout", key, "-out", crt]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
            if done.returncode:
                raise Failed(f"openssl makes no certificate: {done.stderr.strip()[-300:]}")
            key.chmod(0o600)
            pem.write_bytes(crt.read_bytes() + key.read_bytes())
        return paths


class Origin(Child):
    """The service behind the proxies; its own count is the witness that they have really asked it."""

    def __init__(self, rig, options):
        super().__init__(rig, "origin", [BIN / "origin", *options], rig.load_core)
        match = re.fullmatch(r"listening 127\.0\.0\.1:(\d+)\n", self.process.stdout.readline())
        if not match:
            raise Failed("the origin does not listen")
        self.port = int(match[1])

    def count(self):
        """What it has done so far."""
        if not self.alive():
            raise Failed("the origin has ended")
        os.kill(self.pid, signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())

    def finish(self):
        """Stops it; what it did in all."""
        lines = (self.stop() or "").splitlines()
        if not lines:
            raise Failed("the origin ended without its count")
        return json.loads(lines[-1])


def wait_until(ready, seconds):
    """Asks every 20 ms until `ready()` is true; false after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return True
        time.sleep(0.02)
    return False


def accepts(port):
    """Whether somebody accepts connections at 127.0.0.1:port."""
    try:
        socket.create_connection(("127.0.0.1", port), 0.5).close()
        return True
    except OSError:
        return False
