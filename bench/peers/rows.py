"""What is measured, in the order of the report, and the targets for it.

A target is (kind, factor[, reference]):
    best    factor times as good as the best other store
    store   the same against one store
    row     the same against one store's figure of another row: (store, row)
    limit   the row's limit times factor (at least, or at most where less is better)
    min, max   a plain number
"""
from collections import namedtuple

Row = namedtuple("Row", "id section title unit better targets limit note")
Limit = namedtuple("Limit", "text row factor")


def rate(row, section, title, unit, *targets, limit=None, note=""):
    return Row(row, section, title, unit, "more", targets, limit, note)


def cost(row, section, title, unit, *targets, limit=None, note=""):
    return Row(row, section, title, unit, "less", targets, limit, note)


READ, WRITE, DURABLE, SPACE, START = (
    "Reads", "Writes that do not wait for the disk", "Durable commits", "Space and memory",
    "Opening and recovery")
SECTIONS = (READ, WRITE, DURABLE, SPACE, START)

ENTRY_BYTES = 116
TABLE = Limit("hash table, each get waits for the last", "limit_hash_dependent", 1)
TABLE_AT_ONCE = Limit("hash table, gets overlap", "limit_hash", 1)
MEMORY = Limit("memory bandwidth", "limit_bandwidth", 1e9 / ENTRY_BYTES)
BARE = Limit("bare 4 KiB sync write", "limit_dsync_4k", 1)
BARE_P50 = Limit("bare 4 KiB sync write", "limit_dsync_4k_p50", 1)
BARE_P99 = Limit("bare 4 KiB sync write", "limit_dsync_4k_p99", 1)
BARE_64K = Limit("bare 64 KiB sync write", "limit_dsync_64k", 1)
FOUR_TO_A_SYNC = Limit("four commits to each bare sync write", "limit_dsync_4k", 4)

ROWS = (
    rate("get_long", READ, "Point get, one long snapshot", "gets/s", ("store", 1.7, "lmdb"),
         limit=TABLE, note="Every key once, in random order, after a pass that warms up."),
    rate("get_k", READ, "Point get, 1 KiB values", "gets/s", ("best", 1.6),
         note="A fifth of the entries, values ten times as long."),
    rate("get_many", READ, "Batches of 64 gets", "keys/s", ("row", 4.0, ("lmdb", "get_long")),
         limit=TABLE_AT_ONCE, note="Stores without such a call get one key after another."),
    rate("get_fresh", READ, "Point get, a snapshot for each", "gets/s", ("best", 1.7),
         note="NorthstarDB and LMDB renew a parked read transaction; for the others each get is "
              "a snapshot of its own."),
    cost("snapshot", READ, "Snapshot, open and close", "ns", ("max", 40),
         note="SQLite's BEGIN takes no snapshot before its first read, so one row is read too."),
    cost("renew", READ, "Snapshot, parked and renewed", "ns", ("max", 12),
         note="Only NorthstarDB and LMDB can park a snapshot."),
    rate("readers2", READ, "Two reader threads, against one", "x", ("min", 1.9),
         limit=Limit("twice", None, 2), note="How much faster two threads are than one of them."),
    rate("mixed_get", READ, "Gets beside a writer", "gets/s", ("best", 1.5),
         note="One thread gets, with a snapshot for each hundred; another commits batches of 100 "
              "random updates, not durable."),
    rate("mixed_put", READ, "Puts beside a reader", "puts/s", ("best", 1.5),
         note="The writer of the row above, in the same seconds."),
    rate("scan_forward", READ, "Full scan, forward", "entries/s", ("best", 2.0), limit=MEMORY),
    rate("scan_backward", READ, "Full scan, backward", "entries/s", ("best", 2.0), limit=MEMORY),
    rate("seek100", READ, "Seek, then the next 100", "scans/s", ("best", 2.0)),

    rate("load_seq", WRITE, "Load, ascending keys", "puts/s", ("best", 1.0),
         note="Transactions of 1000 into an empty store."),
    rate("load_random", WRITE, "Load, random keys", "puts/s", ("best", 2.0),
         note="Transactions of 1000 into an empty store."),
    rate("load_k", WRITE, "Load, random keys, 1 KiB values", "puts/s", ("best", 1.5),
         note="Transactions of 1000, a fifth of the entries."),
    rate("update", WRITE, "Update at random, 100 to a transaction", "puts/s", ("best", 1.5)),
    rate("delete", WRITE, "Delete at random, 1000 to a transaction", "deletes/s", ("best", 1.5),
         note="Half of the entries."),
    rate("commit_lazy", WRITE, "Commit of one put, not durable", "commits/s", ("best", 1.5)),

    rate("commit_durable", DURABLE, "Durable commit of one put", "commits/s", ("limit", 0.9),
         ("best", 1.3), limit=BARE, note="One thread, one commit after another."),
    cost("commit_durable_p50", DURABLE, "Durable commit of one put, median", "us", limit=BARE_P50),
    cost("commit_durable_p99", DURABLE, "Durable commit of one put, 99th percentile", "us",
         ("limit", 1.3), limit=BARE_P99),
    rate("hundred_durable", DURABLE, "Durable commit of a hundred puts", "commits/s", ("best", 2.5),
         limit=BARE_64K),
    rate("writers1", DURABLE, "Durable commits, 1 writer thread", "commits/s", limit=BARE,
         note="One put to a commit; each thread changes keys of its own."),
    rate("writers4", DURABLE, "Durable commits, 4 writer threads", "commits/s", ("best", 2.0),
         limit=FOUR_TO_A_SYNC),
    rate("writers16", DURABLE, "Durable commits, 16 writer threads", "commits/s"),
    rate("writers64", DURABLE, "Durable commits, 64 writer threads", "commits/s"),
    cost("bytes_commit", DURABLE, "Bytes written for a durable commit of one put", "bytes",
         ("max", 4400), limit=Limit("one block", None, 4096),
         note="Two counters say too much: /proc/self/io counts whole folios, the disk's counter "
              "counts what others write. The smaller of the two stands here."),
    cost("bytes_commit_long", DURABLE, "The same over 100,000 commits", "bytes", ("max", 6000),
         limit=Limit("one block", None, 4096),
         note="With checkpoints and compactions; as many of them as a minute allows. Not part of "
              "--quick."),

    cost("file_load", SPACE, "Space on disk after the random load", "x data", ("max", 2.0),
         limit=Limit("the data", None, 1), note="Blocks of all files after a clean close, "
         "preallocated ones and logs included, against keys and values."),
    cost("tree_load", SPACE, "Reachable tree after the random load", "x data", ("max", 1.4),
         limit=Limit("the data", None, 1), note="For the stores that can say."),
    cost("file_rewrite", SPACE, "Space after every key was rewritten three times", "x data",
         ("max", 2.2), limit=Limit("the data", None, 1),
         note="In random order. Compaction of the file is not in NorthstarDB yet."),
    cost("memory", SPACE, "Memory of its own after the reads", "MiB", ("max", 8),
         note="Resident memory that no file backs, less what the process had before the open."),

    cost("open_warm", START, "Open after a clean close, warm", "ms", ("max", 0.2),
         note="To the end of the first get. Median of five in each round."),
    cost("open_cold", START, "Open after a clean close, cold", "ms", ("max", 5),
         note="The pages of its files are dropped from the page cache before."),
    cost("crash_open", START, "Open after a kill in mid-load", "ms", ("max", 500),
         note="SIGKILL when three quarters of a random load are acknowledged; not durable commits; "
              "to the end of the first get."),
    cost("crash_lost", START, "Entries lost by the kill", "entries", ("max", 0),
         note="Acknowledged ones that are gone. The machine did not fail, only the process."),
)

# Rows whose figures with the default history may be at most this much worse.
HISTORY_SHARE = 0.85
HISTORY_ROWS = ("load_seq", "load_random", "load_k", "update", "delete", "commit_lazy",
                "commit_durable", "hundred_durable")

LIMITS = (
    ("limit_dsync_4k", "Bare loop, 4 KiB pwritev2 with RWF_DSYNC, written space", "writes/s"),
    ("limit_dsync_4k_p50", "4 KiB, median", "us"),
    ("limit_dsync_4k_p99", "4 KiB, 99th percentile", "us"),
    ("limit_dsync_64k", "Bare loop, 64 KiB", "writes/s"),
    ("limit_dsync_64k_p50", "64 KiB, median", "us"),
    ("limit_dsync_64k_p99", "64 KiB, 99th percentile", "us"),
    ("limit_hash", "Hash table of the same entries, gets overlap", "gets/s"),
    ("limit_hash_dependent", "Hash table, each get waits for the last", "gets/s"),
    ("limit_chase", "Pointer chase through 256 MiB", "ns"),
    ("limit_bandwidth", "Reading memory, one thread", "GB/s"),
)

BY_ID = {row.id: row for row in ROWS}
