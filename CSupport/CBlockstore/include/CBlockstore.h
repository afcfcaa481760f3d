// The block store's engine: LMDB behind a small, bounds-checked face.
//
// Layout. A store is a directory with LMDB's data.mdb and lock.mdb. In it are two named databases: `blocks` (key: the
// bytes of a multihash; value: the bytes of the block) and `swift-bitswap` (one record: what this file is, its version,
// and the sum of all value sizes, kept in the transaction that changes it).
//
// Threads. Reading and cbs_shut may be called from any thread at any time. Writing (cbs_write_…, cbs_grow, cbs_sync)
// belongs to one thread at a time. A transaction stays on the thread that began it. While a thread holds a transaction it
// must not call any other function of the same store that takes the store itself: growing the map waits until no
// transaction is open and lets no new one begin.
//
// Processes. Any number of them may have one store open at a time; one process must not open it twice (LMDB forbids it).
#ifndef CBLOCKSTORE_H
#define CBLOCKSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CBS_MAXIMUM_KEY_SIZE 511
#define CBS_FORMAT_VERSION 1

// Every function that can fail gives CBS_OK, one of these, an errno (positive), or another error of LMDB (at most
// -30700; cbs_describe knows it).
#define CBS_OK 0
#define CBS_NOT_FOUND (-1)
#define CBS_CLOSED (-2)
#define CBS_FOREIGN (-3)        // not an LMDB file, or one that somebody else keeps something else in
#define CBS_NEWER (-4)          // a block store of a later format
#define CBS_CORRUPT (-5)        // damaged, cut short, or inconsistent
#define CBS_MAP_FULL (-6)       // abort, cbs_grow, then run the whole transaction again
#define CBS_MAP_LIMIT (-7)      // the map may not grow further
#define CBS_READERS_FULL (-8)   // too many read transactions in all processes together
#define CBS_BAD_KEY (-9)        // empty, or longer than CBS_MAXIMUM_KEY_SIZE
#define CBS_BROKEN (-10)        // an earlier error left the engine unusable: close and open again
#define CBS_READ_ONLY (-11)     // writing to a store that was opened to read
#define CBS_OTHER_LMDB (-12)    // the files were written by an LMDB with another format
#define CBS_NO_STORE (-13)      // opened to read, and there is no store yet
#define CBS_BUSY (-14)          // a second write transaction of this process

typedef struct cbs_store cbs_store;
typedef struct cbs_reader cbs_reader;
typedef struct cbs_writer cbs_writer;

typedef struct {
    const char *path;           ///< the directory; must exist
    uint64_t initial_map_size;  ///< bytes of address space; rounded up to whole pages
    uint64_t map_limit;         ///< the map never grows past this many bytes by our own doing
    uint32_t maximum_readers;   ///< for all processes together; the first to open decides
    bool read_only;
    bool no_sync;               ///< commits are not synced: cbs_sync does it
} cbs_options;

typedef struct {
    uint64_t count;        ///< blocks
    uint64_t bytes;        ///< the sum of their sizes
    uint64_t file_size;    ///< bytes of data.mdb
    uint64_t map_size;     ///< bytes of address space
    uint64_t transaction;  ///< the number of the last committed transaction of any process
} cbs_statistics;

/// A part of the map: valid until the end of the read transaction it came from.
typedef struct {
    const void *data;
    size_t size;
} cbs_slice;

/// Opens a store, creating its files when there are none. On failure `*store` is NULL.
int cbs_open(const cbs_options *options, cbs_store **store);

/// Waits for the transactions under way, then closes the files. Later calls give CBS_CLOSED. Safe to call twice.
void cbs_shut(cbs_store *store);

/// Shuts the store and frees its memory. No other call may be under way or follow.
void cbs_free(cbs_store *store);

/// Begins a read transaction on the latest state. Keep it short: while it lasts, no page freed since is used again.
int cbs_read_begin(cbs_store *store, cbs_reader **reader);
void cbs_read_end(cbs_reader *reader);

/// CBS_NOT_FOUND when there is no such block. The bytes of the block are not touched.
int cbs_read_get(cbs_reader *reader, const void *key, size_t key_size, cbs_slice *value);

/// Called for each entry of a page; the key is valid during the call only.
typedef void (*cbs_visit)(void *context, const void *key, size_t key_size, size_t value_size);

/// Visits at most `limit` entries in the order of their keys, from the first key after `after` (or from the very first
/// when `after_size` is 0).
int cbs_read_page(cbs_reader *reader, const void *after, size_t after_size, size_t limit, cbs_visit visit,
                  void *context);

int cbs_read_statistics(cbs_reader *reader, cbs_statistics *statistics);

/// Begins the write transaction, waiting for that of another process to end. `expected` is how many bytes it may take in
/// the file, 0 when it only deletes: then it may use the room that is kept for that on a full disk.
int cbs_write_begin(cbs_store *store, uint64_t expected, cbs_writer **writer);

/// Stores a block unless it is there already.
int cbs_write_put(cbs_writer *writer, const void *key, size_t key_size, const void *value, size_t value_size,
                  bool *added);
int cbs_write_delete(cbs_writer *writer, const void *key, size_t key_size, bool *removed);

/// Ends the transaction, whatever the outcome. After CBS_OK the changes are visible to every process and, unless the
/// store was opened with `no_sync`, on the disk.
int cbs_write_commit(cbs_writer *writer);
void cbs_write_abort(cbs_writer *writer);

/// Commits an empty transaction, so that the next one may use the pages that the last one freed. For when there is no other
/// room. CBS_NOT_FOUND when it was called before, and nothing was committed since.
int cbs_free_pages(cbs_store *store);

/// Whether no other process has written since this one last did, so that none is likely to be waited for.
bool cbs_write_is_alone(cbs_store *store);

/// Makes the map larger by at least `needed` bytes. No transaction may be open on this thread.
int cbs_grow(cbs_store *store, uint64_t needed);

/// Brings every commit so far to the disk.
int cbs_sync(cbs_store *store);

/// Frees the places of readers that died in the middle of a transaction; gives how many there were.
int cbs_sweep_readers(cbs_store *store, int *dead);

/// A short text for a status; at most `capacity` bytes, always terminated.
void cbs_describe(int status, char *text, size_t capacity);

#endif
