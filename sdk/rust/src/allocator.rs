//! The allocator of plugins: dlmalloc, as in the standard library, with lists of small pieces in front of it.
//!
//! This dlmalloc starts in the memory that the linker gave the module (`--initial-heap`) before it grows it. An instance
//! that stays within it costs the host no `memory.grow`, which is most of what a fresh instance costs.
//!
//! A call allocates some small pieces and gives all of them back. For each, dlmalloc takes some hundred instructions, a
//! list of pieces that were given back takes ten. What is in a list stays there for its size: no more than the plugin
//! had in use at one time.
#![expect(unsafe_code, reason = "an allocator hands out memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::null_mut;

use dlmalloc::GlobalDlmalloc;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    lists: [const { Cell::new(null_mut()) }; LISTS],
};

/// Bytes between the sizes of two lists.
const STEP: usize = 16;
/// Up to 512 bytes.
const LISTS: usize = 32;
/// What dlmalloc aligns to without being asked.
const ALIGN: usize = 8;

struct Allocator {
    /// Of pieces of `(index + 1) * STEP` bytes, the first; in each, the address of the next.
    lists: [Cell<*mut u8>; LISTS],
}

// SAFETY: a module for this target has one thread (it is built without atomics).
unsafe impl Sync for Allocator {}

impl Allocator {
    /// The list of pieces for a layout, if there is one.
    #[inline]
    fn list(&self, layout: Layout) -> Option<&Cell<*mut u8>> {
        // Layouts that are allocated have a size: zero goes the long way.
        let index = layout.size().wrapping_sub(1) / STEP;
        self.lists.get(index).filter(|_| layout.align() <= ALIGN)
    }
}

/// A piece that its list can take later.
#[cold]
#[inline(never)]
unsafe fn new_piece(layout: Layout) -> *mut u8 {
    // SAFETY: at most `LISTS * STEP` bytes, and the alignment is one already.
    let whole = unsafe {
        Layout::from_size_align_unchecked(layout.size().next_multiple_of(STEP), layout.align())
    };
    unsafe { GlobalDlmalloc.alloc(whole) }
}

// SAFETY: a piece is in a list or in use, never both; a list has pieces of its size only, since a layout stands for the
// same list when the piece is given back.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // What has no list is dlmalloc's, with the layout that it is given back with.
        let Some(list) = self.list(layout) else {
            return unsafe { GlobalDlmalloc.alloc(layout) };
        };
        let first = list.get();
        if first.is_null() {
            return unsafe { new_piece(layout) };
        }
        list.set(unsafe { first.cast::<*mut u8>().read() });
        first
    }

    #[inline]
    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        match self.list(layout) {
            Some(list) => {
                unsafe { start.cast::<*mut u8>().write(list.get()) };
                list.set(start);
            }
            None => unsafe { GlobalDlmalloc.dealloc(start, layout) },
        }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: that `size` can be one is the caller's promise.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (self.list(layout), self.list(wanted)) {
            (None, None) => unsafe { GlobalDlmalloc.realloc(start, layout, size) },
            (Some(old), Some(new)) if std::ptr::eq(old, new) => start,
            _ => unsafe {
                let moved = self.alloc(wanted);
                if !moved.is_null() {
                    start.copy_to_nonoverlapping(moved, layout.size().min(size));
                    self.dealloc(start, layout);
                }
                moved
            },
        }
    }
}
