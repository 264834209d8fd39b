"""A database script: orders in SQLite, a CSV of them, mailed in a zip."""

import calendar
import configparser
import csv
import email
import email.policy
import io
import sqlite3
import string
import zipfile
from email.message import EmailMessage

SETTINGS = """
[report]
month = 11
subject = Orders of ${name}
"""


def main() -> None:
    """Fill, ask, export, mail, and read the mail again."""
    settings = configparser.ConfigParser()
    settings.read_string(SETTINGS)
    database = sqlite3.connect(":memory:")
    database.execute("create table orders (day integer, item text, price real)")
    rows = [(day, f"item {day % 5}", day * 1.5) for day in range(1, 31)]
    database.executemany("insert into orders values (?, ?, ?)", rows)
    totals = database.execute("select item, sum(price) from orders group by item order by item").fetchall()

    table = io.StringIO()
    csv.writer(table).writerows(totals)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("orders.csv", table.getvalue())

    month = calendar.month_name[settings.getint("report", "month")]
    message = EmailMessage()
    message["Subject"] = string.Template(settings["report"]["subject"]).substitute(name=month)
    message.set_content("The orders are attached.")
    message.add_attachment(packed.getvalue(), maintype="application", subtype="zip", filename="orders.zip")
    again = email.message_from_bytes(bytes(message), policy=email.policy.default)
    attached = next(again.iter_attachments()).get_content()
    assert zipfile.ZipFile(io.BytesIO(attached)).read("orders.csv").decode() == table.getvalue()
    print(f"database: {len(totals)} totals of {len(rows)} orders, mailed as {again['Subject']!r}")


main()
