//! The allocator of plugins: dlmalloc, as in the standard library, with lists of small pieces in front of it.
//!
//! It starts in the memory that the linker gave the module: in what the stack and the data leave of their last page, and
//! in more, where `--initial-heap` asks for it. An instance that stays within that costs the host no `memory.grow`, which
//! is much of what a fresh instance costs; the standard library's takes no less than 64 KiB. (Where the first thing that
//! a plugin allocates does not fit there, it stays unused.)
//!
//! A call allocates some small pieces and gives all of them back. For each, dlmalloc takes some hundred instructions, a
//! list of pieces that were given back takes ten. What is in a list stays there for its size: no more than the plugin
//! had in use at one time.
#![expect(unsafe_code, reason = "an allocator hands out memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::arch::wasm32::memory_grow;
use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;

use dlmalloc::Dlmalloc;

#[cfg(target_feature = "atomics")]
compile_error!("the allocator of plugins is for one thread: leave out `arena`, or threads");

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    lists: [const { Cell::new(null_mut()) }; LISTS],
    rest: UnsafeCell::new(in_small_steps()),
};

/// One that takes what there is at first, be it less than a page.
const fn in_small_steps() -> Dlmalloc<Steps> {
    let mut rest = Dlmalloc::new_with_allocator(Steps {
        begun: Cell::new(false),
        left: Cell::new((0, 0)),
    });
    assert!(rest.set_granularity(GRANULARITY));
    rest
}

/// What dlmalloc takes memory from. It writes to the end of each piece that it gets, so small ones end with the page of the
/// host that they need anyway; one that needs more gets all there is, to grow into.
struct Steps {
    /// Whether what the linker left was looked at.
    begun: Cell<bool>,
    /// From where to where there is memory that nobody has.
    left: Cell<(usize, usize)>,
}

impl Steps {
    /// More memory, from where to where.
    fn more(&self, size: usize) -> Option<(usize, usize)> {
        if !self.begun.replace(true) {
            let (start, end) = left_by_the_linker();
            if end - start >= size {
                return Some((start, end));
            }
        }
        let pages = size.div_ceil(PAGE);
        let before = memory_grow(0, pages);
        if before == usize::MAX {
            return None;
        }
        // The last bytes of the address space are left out: an end behind them would be 0.
        let start = before * PAGE;
        Some((start, start.saturating_add(pages * PAGE) & !(STEP - 1)))
    }
}

fn left_by_the_linker() -> (usize, usize) {
    unsafe extern "C" {
        safe static __heap_base: u8;
        safe static __heap_end: u8;
    }
    let start = (&raw const __heap_base).expose_provenance();
    let end = (&raw const __heap_end).expose_provenance();
    (start, end.max(start))
}

// SAFETY: what the linker left, and what the memory grew by, is handed out once, from its beginning to its end.
unsafe impl dlmalloc::Allocator for Steps {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let (mut start, mut end) = self.left.get();
        if end - start < size {
            let Some((from, to)) = self.more(size) else {
                return (null_mut(), 0, 0);
            };
            // Where it does not go on from there, somebody else has the memory between.
            start = if from == end { start } else { from };
            end = to;
            self.left.set((start, end));
            if end - start < size {
                return (null_mut(), 0, 0);
            }
        }
        let next = match (start + size).checked_next_multiple_of(HOST_PAGE) {
            Some(next) if size <= HOST_PAGE => next.min(end),
            _ => end,
        };
        self.left.set((next, end));
        (start as *mut u8, next - start, 0)
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        true
    }

    fn page_size(&self) -> usize {
        PAGE
    }
}

/// Bytes between the sizes of two lists.
const STEP: usize = 16;
/// Up to 512 bytes.
const LISTS: usize = 32;
/// What dlmalloc wants of memory is a multiple of this.
const GRANULARITY: usize = 64;
/// Bytes of a page of WebAssembly.
const PAGE: usize = 64 << 10;
/// Bytes that the host keeps, and copies once they are written to, together.
const HOST_PAGE: usize = 4096;
/// What dlmalloc aligns to without being asked.
const ALIGN: usize = 8;

struct Allocator {
    /// Of pieces of `(index + 1) * STEP` bytes, the first; in each, the address of the next.
    lists: [Cell<*mut u8>; LISTS],
    /// Has everything else.
    rest: UnsafeCell<Dlmalloc<Steps>>,
}

// SAFETY: a module for this target has one thread (it is built without atomics).
unsafe impl Sync for Allocator {}

impl Allocator {
    /// # Safety
    /// What is borrowed is not borrowed already: it is not kept beyond one call of dlmalloc, which calls nobody.
    #[expect(clippy::mut_from_ref, reason = "there is one thread")]
    unsafe fn rest(&self) -> &mut Dlmalloc<Steps> {
        unsafe { &mut *self.rest.get() }
    }

    /// A piece that its list can take later.
    #[cold]
    #[inline(never)]
    unsafe fn new_piece(&self, layout: Layout) -> *mut u8 {
        let size = layout.size().next_multiple_of(STEP);
        unsafe { self.rest().malloc(size, layout.align()) }
    }

    /// The list of pieces for a layout, if there is one.
    #[inline]
    fn list(&self, layout: Layout) -> Option<&Cell<*mut u8>> {
        // Layouts that are allocated have a size: zero goes the long way.
        let index = layout.size().wrapping_sub(1) / STEP;
        self.lists.get(index).filter(|_| layout.align() <= ALIGN)
    }
}

// SAFETY: a piece is in a list or in use, never both; a list has pieces of its size only, since a layout stands for the
// same list when the piece is given back.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // What has no list is dlmalloc's, with the layout that it is given back with.
        let Some(list) = self.list(layout) else {
            return unsafe { self.rest().malloc(layout.size(), layout.align()) };
        };
        let first = list.get();
        if first.is_null() {
            return unsafe { self.new_piece(layout) };
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
            None => unsafe { self.rest().free(start, layout.size(), layout.align()) },
        }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: that `size` can be one is the caller's promise.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (self.list(layout), self.list(wanted)) {
            (None, None) => unsafe {
                let (old, align) = (layout.size(), layout.align());
                self.rest().realloc(start, old, align, size)
            },
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
