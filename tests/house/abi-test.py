# Copyright 2026 The AFork authors
# SPDX-License-Identifier: LGPL-2.1-or-later

"""abi-test.py COMPILER...

Tests abi.py with small libraries, each of which changes one thing."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

import abi

COMPILER = sys.argv[1:]

HEADER = """
typedef struct _Opaque Opaque;
typedef enum { KIND_ONE, KIND_TWO } Kind;
typedef struct { int x; int y; } Point;
Opaque *opaque_new (Kind kind);
int     opaque_measure (Opaque *self, const Point *point);
void    opaque_free (Opaque *self);
"""
SOURCE = """
#include <stdlib.h>
#include "library.h"
struct _Opaque { Kind kind; };
Opaque *opaque_new (Kind kind) { Opaque *self = malloc (sizeof *self); self->kind = kind;
                                 return self; }
int opaque_measure (Opaque *self, const Point *point) { return self->kind * point->x + point->y; }
void opaque_free (Opaque *self) { free (self); }
"""


class AbiTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.record = self.folder / 'record.abi'
        abi.describe(*self.build(HEADER, SOURCE), self.record)

    def build(self, header, source, *flags):
        (self.folder / 'library.h').write_text(header)
        (self.folder / 'library.c').write_text(source)
        subprocess.run([*COMPILER, '-g', '-shared', '-fPIC', '-o', 'library.so', 'library.c',
                        *flags], cwd=self.folder, check=True)
        return self.folder / 'library.so', [self.folder / 'library.h']

    def check(self, change):
        """Returns whether the change breaks the interface, and what is said."""
        header, source = HEADER, SOURCE
        for old, new in change.items():
            self.assertIn(old, header + source)
            header, source = header.replace(old, new), source.replace(old, new)
        return abi.compare(self.record, *self.build(header, source))

    def assert_breaks(self, change, said):
        is_broken, text = self.check(change)
        self.assertTrue(is_broken)
        self.assertIn(said, text)

    def assert_breaks_nothing(self, change):
        is_broken, text = self.check(change)
        self.assertFalse(is_broken, text)
        return text

    def test_same(self):
        self.assertEqual(self.assert_breaks_nothing({}), '')

    def test_removed(self):
        self.assert_breaks({'void    opaque_free (Opaque *self);': '',
                            'void opaque_free': 'static void unused'}, 'opaque_free')

    def test_hidden(self):
        self.assert_breaks({'void opaque_free': '__attribute__ ((visibility ("hidden"))) '
                                                'void opaque_free'}, 'opaque_free')

    def test_parameter(self):
        self.assert_breaks({'(Opaque *self, const Point *point)':
                            '(Opaque *self, const Point *point, int scale)'}, 'opaque_measure')

    def test_result(self):
        self.assert_breaks({'int     opaque_measure': 'long    opaque_measure',
                            'int opaque_measure': 'long opaque_measure'}, 'opaque_measure')

    def test_layout(self):
        self.assert_breaks({'int x; int y;': 'int z; int x; int y;'}, 'Point')

    def test_enum(self):
        self.assert_breaks({'KIND_ONE, KIND_TWO': 'KIND_NONE, KIND_ONE, KIND_TWO'}, 'KIND_TWO')

    def test_added(self):
        text = self.assert_breaks_nothing({'void    opaque_free':
                                           'void opaque_reset (Opaque *self);\nvoid    opaque_free',
                                           'void opaque_free': 'void opaque_reset (Opaque *self) '
                                           '{ self->kind = 0; }\nvoid opaque_free'})
        self.assertIn('opaque_reset', text)

    def test_private(self):
        self.assert_breaks_nothing({'struct _Opaque { Kind kind; }':
                                    'struct _Opaque { long size; Kind kind; }'})

    def test_class(self):
        """The class structure of a type that can be derived from."""
        header = ('typedef struct { int parent; } Base;\n'
                  'typedef struct { int parent; void (*measure) (Base *self); } BaseClass;\n')
        macro = 'G_DECLARE_DERIVABLE_TYPE (Base, base, , BASE, GObject)\n'
        path = self.folder / 'classes.h'
        path.write_text(macro)
        source = abi.name_classes([path]).replace('<afork/afork.h>', '"library.h"')
        self.assertIn('BaseClass *klass', source)
        record = self.folder / 'classes.abi'
        abi.describe(*self.build(header, source), record)
        self.assertEqual(abi.compare(record, *self.build(header, source)), (False, ''))
        is_broken, text = abi.compare(record, *self.build(
            header.replace('void (*measure)', 'void (*weigh) (Base *self); void (*measure)'),
            source))
        self.assertTrue(is_broken)
        self.assertIn('BaseClass', text)

    def test_no_debug_information(self):
        with self.assertRaises(abi.Failure):
            abi.compare(self.record, *self.build(HEADER, SOURCE, '-s'))

    def test_no_library(self):
        with self.assertRaises(abi.Failure):
            abi.compare(self.record, self.folder / 'none.so', [])


if __name__ == '__main__':
    sys.argv[1:] = []
    unittest.main()
