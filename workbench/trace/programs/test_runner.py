"""A test runner: a small suite under unittest, its report as XML."""

import argparse
import decimal
import difflib
import fractions
import io
import logging
import statistics
import textwrap
import unittest
import xml.dom.minidom
import xml.etree.ElementTree as ET


class Numbers(unittest.TestCase):
    """Sums that are exact."""

    def test_decimal(self) -> None:
        """A tenth, thrice, is three tenths."""
        self.assertEqual(sum([decimal.Decimal("0.1")] * 3), decimal.Decimal("0.3"))

    def test_fraction(self) -> None:
        """A third, thrice, is one."""
        self.assertEqual(3 * fractions.Fraction(1, 3), 1)

    def test_median(self) -> None:
        """The one in the middle."""
        self.assertEqual(statistics.median([1, 5, 2]), 2)


class Text(unittest.TestCase):
    """Lines and their differences."""

    def test_wrap(self) -> None:
        """No line is longer than asked."""
        self.assertTrue(all(len(line) <= 20 for line in textwrap.wrap("lazy loading " * 20, 20)))

    def test_diff(self) -> None:
        """One line changed."""
        self.assertEqual(len([line for line in difflib.ndiff(["a", "b"], ["a", "c"]) if line[0] in "+-"]), 2)


def main() -> None:
    """Run the suite and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--verbosity", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig(stream=io.StringIO())
    loader = unittest.TestLoader()
    suite = unittest.TestSuite(loader.loadTestsFromTestCase(case) for case in (Numbers, Text))
    result = unittest.TextTestRunner(io.StringIO(), verbosity=options.verbosity).run(suite)
    report = ET.Element("testsuite", tests=str(result.testsRun), failures=str(len(result.failures)))
    pretty = xml.dom.minidom.parseString(ET.tostring(report)).toprettyxml()
    assert result.wasSuccessful(), pretty
    print(f"test runner: {result.testsRun} tests passed, a report of {len(pretty)} characters")


main()
