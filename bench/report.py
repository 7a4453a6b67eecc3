"""What the figures are held to, and the tables: one with every bar, and on demand one per scenario with everything."""
import statistics
from dataclasses import dataclass

# The columns of the table of bars: a title and the proxies whose figure stands there, the first that was measured.
COLUMNS = (("nginx", ("nginx+lua", "nginx")), ("HAProxy", ("haproxy",)), ("HAProxy Lua", ("haproxy+lua",)))
TITLES = {name: title for title, names in COLUMNS for name in names}
ALLOWED = 1.10  # by how much a bar may be missed that is not strict


@dataclass(frozen=True)
class Bar:
    """A figure of a scenario: what Edge's may be, in units, or with `against` as a part of that proxy's."""
    scenario: str
    field: str
    title: str
    limit: float = None  # None: for information
    against: str = None
    edge: str = "edge"
    strict: bool = False


BARS = (
    Bar("S1", "cpu_us", "S1 JSON, CPU µs/request", 0.80, "haproxy", strict=True),
    Bar("S1", "cpu_us", "S1 with Edge's access log", None, "haproxy", "edge+log"),
    Bar("S1g", "cpu_us", "S1g GET, CPU µs/request", None, "haproxy"),
    Bar("S1r", "cpu_us", "S1r at 8,000/s, CPU µs/request", 0.95, "nginx"),
    Bar("S2", "cpu_us", "S2 policy, ledger in memory, CPU µs/request", 0.65, "haproxy+lua", strict=True),
    Bar("S2", "cpu_us", "S2 policy, ledger on disk, CPU µs/request", 1.00, "haproxy+lua", "edge+sqlite"),
    Bar("S3a", "cpu_us", "S3a streams without gaps, CPU µs/event", None, "nginx"),
    Bar("S3b", "cpu_us", "S3b 40,000 events/s, CPU µs/event", 1.00, "nginx"),
    Bar("S3b", "p50_us", "S3b latency p50 µs", 1.05, "nginx"),
    Bar("S4", "cpu_us", "S4 WebSocket echo, checked, CPU µs/message", 1.00, "haproxy"),
    Bar("S4t", "cpu_us", "S4t the same, tunnelled, CPU µs/message", 1.03, "nginx"),
    Bar("S5", "kib_each", "S5 idle WebSocket, KiB", 2.0, strict=True),
    Bar("S5", "start_mib", "S5 memory at start, MiB", 1.00, "haproxy", strict=True),
    Bar("S5k", "kib_each", "S5k idle keep-alive connection, KiB", 0.5, strict=True),
    Bar("S5t", "kib_each", "S5t idle WebSocket over TLS, KiB", 18, strict=True),
    Bar("S6r", "cpu_us", "S6r TLS handshake RSA-2048, CPU µs", 1.05, "nginx"),
    Bar("S6e", "cpu_us", "S6e TLS handshake P-256, CPU µs", 1.05, "nginx"),
    Bar("S6k", "cpu_us", "S6k S1 over TLS, CPU µs/request", 0.95, "nginx"),
    Bar("S7d", "cpu_us", "S7d 10 MB down, CPU µs/MiB", 1.00, "nginx"),
    Bar("S7u", "cpu_us", "S7u 10 MB up, CPU µs/MiB", 1.00, "nginx"),
    Bar("S7s", "growth_mib", "S7s 50 slow readers, growth MiB", 2.6),
    Bar("S8", "failed", "S8 20 reloads, failed requests", 0, strict=True),
    Bar("S8", "dropped", "S8 dropped streams of 500", 0, strict=True),
    Bar("S8", "races", "S8 connections closed under a request", 0, strict=True),
    Bar("S8", "peak_mib", "S8 peak of memory, MiB", 1.00, "haproxy", strict=True),
    Bar("S9", "p50_us", "S9 500/s, latency p50 µs", 1.05, "nginx"),
    Bar("A2", "cpu_us", "A2 chat, ledger on disk, CPU µs/request", 1.75, "nginx", "edge+sqlite"),
    Bar("A2", "cpu_us", "A2 chat, ledger in memory", None, "nginx"),
    Bar("A3", "cpu_us", "A3 streamed chat, ledger on disk, CPU µs/event", 1.10, "nginx", "edge+sqlite"),
    Bar("L1", "added_ms", "L1 p99 added by hostile scripts, ms", 10),
)


def middle(rows, field):
    values = [row[field] for row in rows if row.get(field) is not None]
    return statistics.median(values) if values else None


def ratio(rows, base, field):
    """The median of the ratios within each round: what slows a whole round down cancels out."""
    of = {row["round"]: row.get(field) for row in base}
    pairs = [row[field] / of[row["round"]] for row in rows if row.get(field) is not None and of.get(row["round"])]
    return statistics.median(pairs) if pairs else None


def verdict(bar, value):
    """How a figure stands to its bar, and whether that is a miss that nobody allows."""
    if bar.limit is None or value is None:
        return "" if bar.limit is None else "not measured", False
    if value <= bar.limit:
        return "met", False
    if not bar.strict and value <= bar.limit * ALLOWED:
        return f"missed by {value / bar.limit - 1:.0%}, allowed", False
    return "MISSED" + (f" by {value / bar.limit - 1:.0%}" if bar.limit else ""), True


def judge(results):
    """A line for each bar whose scenario was run: figures, ratio, bar, verdict; as values for JSON."""
    lines = []
    for bar in BARS:
        rows = results.get(bar.scenario)
        if rows is None:
            continue
        own = middle(rows.get(bar.edge, []), bar.field)
        compared = ratio(rows.get(bar.edge, []), rows.get(bar.against, []), bar.field) if bar.against else None
        word, missed = verdict(bar, compared if bar.against else own)
        peers = []
        for _, names in COLUMNS:
            found = [middle(rows[name], bar.field) for name in names if name in rows]
            peers.append(found[0] if found else None)
        lines.append({"title": bar.title, "scenario": bar.scenario, "field": bar.field, "peers": peers, "edge": own,
                      "against": bar.against, "ratio": compared, "limit": bar.limit, "verdict": word,
                      "missed": missed})
    return lines


def number(value):
    if value is None:
        return "–"
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def bars_table(lines):
    head = ["figure", *(title for title, _ in COLUMNS), "Edge", "ratio", "bar", ""]
    rows = []
    for line in lines:
        against, limit = line["against"], line["limit"]
        shown = "" if not against else f"{line['ratio']:.3f} × {TITLES[against]}" if line["ratio"] is not None else "–"
        bar = "" if limit is None else f"≤ {limit:.2f} ×" if against else f"≤ {limit:g}"
        rows.append([line["title"], *map(number, line["peers"]), number(line["edge"]), shown, bar, line["verdict"]])
    return markdown(head, rows, left=(0, len(head) - 1))


def misses(lines):
    """What is said at the end."""
    missed = [line for line in lines if line["missed"]]
    absent = [line["title"] for line in lines if line["verdict"] == "not measured"]
    met = sum(line["verdict"] == "met" for line in lines)
    allowed = sum(line["verdict"].endswith("allowed") for line in lines)
    words = [f"bars: {met} met, {allowed} missed within what is allowed, {len(missed)} missed, {len(absent)} not "
             "measured"]
    words += [f"  {line['verdict']}: {line['title']}" for line in missed]
    return "\n".join(words + [f"  not measured: {title}" for title in absent])


def details_table(title, rows_by_proxy):
    """Everything of one scenario."""
    fields = ("rate", "p50_us", "p99_us", "proxy_share", "load_share", "kib_each", "growth_mib", "peak_mib")
    used = [field for field in fields if any(middle(rows, field) is not None for rows in rows_by_proxy.values())]
    with_cpu = any(middle(rows, "cpu_us") is not None for rows in rows_by_proxy.values())
    head = ["proxy", *(["CPU µs (min–max)"] if with_cpu else []), *used, "bad"]
    lines = []
    for name, rows in rows_by_proxy.items():
        values = [row["cpu_us"] for row in rows if row.get("cpu_us") is not None]
        cpu = f"{number(statistics.median(values))} ({number(min(values))}–{number(max(values))})" if values else "–"
        lines.append([name, *([cpu] if with_cpu else []), *(number(middle(rows, field)) for field in used),
                      str(sum(row["bad"] for row in rows))])
    return f"\n{title}\n\n{markdown(head, lines, left=(0,))}"


def markdown(head, rows, left):
    """A Markdown table whose columns are as wide as what stands in them."""
    widths = [max(3, *(len(row[i]) for row in [head, *rows])) for i in range(len(head))]
    rule = ["-" * width if i in left else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    aligned = [[text.ljust(widths[i]) if i in left else text.rjust(widths[i]) for i, text in enumerate(row)]
               for row in [head, *rows]]
    return "\n".join("| " + " | ".join(row) + " |" for row in [aligned[0], rule, *aligned[1:]])
