// Copyright 2026 The AFork authors
// SPDX-License-Identifier: LGPL-2.1-or-later

// What worker modules use of afork-worker.h, which is for modules without GLib and so not in the
// GIR. Vala knows strings only as constants, so `text` is where the bytes of an item begin.
namespace AFork {
	[CCode (cheader_filename = "afork/afork.h", cprefix = "AFORK_ITEM_", has_type_id = false)]
	public enum ItemKind {
		BYTES,
		FD
	}

	[CCode (cheader_filename = "afork/afork.h", has_copy_function = false,
	        has_destroy_function = false, has_type_id = false)]
	public struct Item {
		public AFork.ItemKind kind;
		public int fd;
		[CCode (cname = "data")]
		public unowned string? text;
		public size_t size;
		public bool is_string;
	}
}
