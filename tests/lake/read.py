"""read.py FOLDER EVENTS TENANTS: checks that DuckDB and PyArrow find in the lake what ingest/lake/examples/rows.rs wrote."""

import json
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

folder, events, tenants = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
passed = failed = 0


def check(what, found, expected):
    global passed, failed
    if found == expected:
        passed += 1
    else:
        failed += 1
        print(f"FAILED: {what}: {found!r} instead of {expected!r}")


def names():
    return [f"tenant {n}/ö" for n in range(tenants)]


duckdb.sql("SET TimeZone = 'UTC'")
lake = f"read_parquet('{folder}/events/**/*.parquet', hive_partitioning = true)"


def ask(query):
    return duckdb.sql(query.replace("LAKE", lake)).fetchall()


check("rows and distinct ids", ask("SELECT count(*), count(DISTINCT id), count(DISTINCT sequence) FROM LAKE"), [(events,) * 3])
check("tenants", [row[0] for row in ask("SELECT DISTINCT tenant FROM LAKE ORDER BY tenant")], names())
check("events of a tenant", ask(f"SELECT count(*) FROM LAKE WHERE tenant = '{names()[3]}'"), [(len(range(3, events, tenants)),)])
check("a label", ask("SELECT count(*) FROM LAKE WHERE labels['plan'] = 'pro'"), [((events + 1) // 2,)])
check("another label", ask("SELECT DISTINCT labels['n'] FROM LAKE WHERE ce_id = '17'"), [("17",)])
check("a field of the data", ask("SELECT count(*) FROM LAKE WHERE CAST(data->>'$.n' AS BIGINT) = CAST(ce_id AS BIGINT)"), [(events,)])
check("nested data", ask("SELECT DISTINCT data->>'$.list[2].quoted' FROM LAKE"), [('"ö"',)])
check("users or none", ask('SELECT count("user"), count(subject) FROM LAKE'), [((events + 1) // 2, (events + 4) // 5)])
check("priorities", ask("SELECT DISTINCT priority FROM LAKE ORDER BY 1"), [("High",), ("Low",), ("Medium",)])
check("the folder's day is the day of receipt", ask("SELECT count(*) FROM LAKE WHERE CAST(date AS DATE) != CAST(received_at AS DATE)"), [(0,)])
seventeenth = datetime(2026, 11, 21, 0, 0, 17, 1, tzinfo=timezone.utc)
check("a moment, to the microsecond", ask("SELECT epoch_us(received_at) FROM LAKE WHERE ce_id = '17'"), [(round(seventeenth.timestamp() * 1e6),)])
last = datetime(2026, 11, 21, tzinfo=timezone.utc) + timedelta(seconds=min(events, 172800) - 1)
check("days", len(ask("SELECT DISTINCT date FROM LAKE")), (last.date() - datetime(2026, 11, 21).date()).days + 1)
order = "SELECT count(*) FROM (SELECT sequence - lag(sequence) OVER (PARTITION BY filename ORDER BY file_row_number) AS step FROM LAKE) WHERE step <= 0"
order = order.replace("LAKE", lake.replace("hive_partitioning = true", "filename = true, file_row_number = true"))
check("rows of a file are in the order of the stream", ask(order), [(0,)])
compressed = ask(f"SELECT DISTINCT compression FROM parquet_metadata('{folder}/events/**/*.parquet')")
check("compression", compressed, [("ZSTD",)])

# Without partitioning: tenant is a column too.
table = ds.dataset(f"{folder}/events", format="parquet").to_table()
check("PyArrow: rows", table.num_rows, events)
labels = table.schema.field("labels").type
check("PyArrow: labels", (pa.types.is_map(labels), labels.key_type, labels.item_type), (True, pa.string(), pa.string()))
check("PyArrow: moments", [table.schema.field(name).type for name in ("time", "received_at")], [pa.timestamp("us", tz="UTC")] * 2)
check("PyArrow: sequence", table.schema.field("sequence").type, pa.uint64())
rows = {row["ce_id"]: row for row in table.to_pylist()}
check("PyArrow: one row", dict(rows["17"]["labels"]), {"n": "17", "plan": "free"})
check("PyArrow: its data", json.loads(rows["17"]["data"])["n"], 17)
check("PyArrow: its moment", rows["17"]["time"], seventeenth)
check("PyArrow: no user", rows["17"]["user"], None)
days = ds.partitioning(pa.schema([("tenant", pa.string()), ("date", pa.string())]), flavor="hive")
one_day = ds.dataset(f"{folder}/events", format="parquet", partitioning=days)
one_day = one_day.to_table(filter=(ds.field("date") == "2026-11-21") & (ds.field("tenant") == names()[0]))
check("PyArrow: a tenant's day by its folder", one_day.num_rows, len(range(0, min(events, 86400), tenants)))

paths = [path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()]
check("only Parquet files lie there", [path for path in paths if not path.endswith(".parquet")], [])

print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
