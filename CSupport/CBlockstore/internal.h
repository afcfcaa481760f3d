#ifndef CBS_INTERNAL_H
#define CBS_INTERNAL_H

#include <lmdb.h>
#include <pthread.h>

#include "CBlockstore.h"

#define CBS_IDLE_READERS 16

/// The record of the `swift-bitswap` database.
typedef struct {
    uint32_t version;
    uint64_t bytes;
    /// Some commit since the last synced one was not synced. A store that promises synced commits then syncs even
    /// when a block it is given is there already.
    bool unsynced;
} cbs_record;

struct cbs_reader {
    cbs_store *store;
    MDB_txn *txn;
};

struct cbs_writer {
    cbs_store *store;
    MDB_txn *txn;
    cbs_record record;
    bool changed;
    uint64_t written;
    int shortage;  ///< why the file cannot grow now: an errno, or 0
};

struct cbs_store {
    MDB_env *env;
    MDB_dbi blocks;
    MDB_dbi meta;
    uint64_t map_limit;
    size_t page_size;
    bool read_only;
    bool no_sync;
    /// Values can be checked against the header of their page (see cbs_value_is_sound).
    bool checks_values;

    /// Guards what follows.
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t active;    ///< transactions open in this process
    bool exclusive;   ///< the map is about to move: no transaction may begin
    bool closed;
    bool broken;
    size_t idle_count;
    cbs_reader *idle[CBS_IDLE_READERS];  ///< finished read transactions that keep their place in the reader table

    /// The writer's own.
    bool writing;
    size_t last_commit;    ///< the transaction that this process committed last, or found when it opened the store
    size_t freed;          ///< the transaction with which cbs_free_pages last did its work
    uint32_t commits_until_sweep;
    uint64_t reserved;     ///< the file owns its blocks up to here
    bool is_tight;         ///< the map was made to end with the used pages
    bool cannot_reserve;   ///< not on this file system
    uint64_t fresh;        ///< from here on pages are new since the last sync, and the disk was not told of them
    cbs_writer writer;
};

/// Counts a transaction of this process, waiting while the map moves. `idle`, when not NULL, receives a finished
/// reader to use again, or NULL.
int cbs_enter(cbs_store *store, cbs_reader **idle);
void cbs_leave(cbs_store *store);

/// Waits until no transaction of this process is open and lets none begin. Without success nothing is held.
int cbs_exclusive_begin(cbs_store *store);
void cbs_exclusive_end(cbs_store *store);

/// Gives the map this size, at least that of the pages in use.
int cbs_set_map(cbs_store *store, uint64_t size);

/// Where the pages end that the newest state has, in bytes of the file.
uint64_t cbs_used_end(cbs_store *store);

/// Takes over the size that another process gave the map.
int cbs_adopt_map(cbs_store *store);

/// LMDB's code as one of ours.
int cbs_status(int code);

int cbs_record_read(cbs_store *store, MDB_txn *txn, cbs_record *record);
int cbs_record_write(cbs_store *store, MDB_txn *txn, const cbs_record *record);

/// Looks at the file before LMDB does, which trusts the sizes in it. CBS_OK too when there is no file yet.
int cbs_inspect_file(const char *data_path);

/// After opening: every page that the newest state refers to lies inside the file.
int cbs_inspect_length(MDB_env *env);

#endif
