// Writing: one transaction at a time, on one thread.
//
// A full disk. LMDB changes a page by writing a new one, so that even deleting needs room, and on a disk without any
// nothing could be deleted. So whoever stores first makes sure that the file owns some room behind its last used page.
// When that cannot be had, the map is made to end at that page: then LMDB takes pages that are free inside the file, or
// none, and the room stays for deletions.
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "internal.h"

#define ATTEMPTS 64
#define COMMITS_BETWEEN_SWEEPS 128
#define ROOM_TO_DELETE (128u * 1024u)
#define ROOM_STEP (256u * 1024u)
#define WRITE_BEHIND (8u * 1024u * 1024u)

/// Takes the room for `expected` bytes, and that for later deletions. `*shortage` is why there is none.
static int make_room(cbs_store *store, uint64_t expected, int *shortage) {
    *shortage = 0;
#if defined(__linux__)
    MDB_envinfo info;
    mdb_filehandle_t descriptor;
    int status = cbs_enter(store, NULL);
    if (status != CBS_OK) return status;
    int code = mdb_env_info(store->env, &info);
    if (code == MDB_SUCCESS) code = mdb_env_get_fd(store->env, &descriptor);
    uint64_t end = ((uint64_t)info.me_last_pgno + 1) * store->page_size;
    uint64_t wanted = (end + ROOM_TO_DELETE + expected + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
    if (wanted > store->map_limit) wanted = store->map_limit;
    if (code == MDB_SUCCESS && expected > 0 && !store->cannot_reserve && wanted > store->reserved && wanted > end) {
        int result;
        do result = fallocate(descriptor, 0, (off_t)end, (off_t)(wanted - end));
        while (result != 0 && errno == EINTR);
        if (result == 0) store->reserved = wanted;
        else if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG) *shortage = errno;
        else store->cannot_reserve = true;  // not every file system can
    }
    cbs_leave(store);
    if (code != MDB_SUCCESS) return cbs_status(code);
    if (*shortage != 0) {
        store->is_tight = true;
        return cbs_set_map(store, end);
    }
    if (store->is_tight) {
        store->is_tight = false;
        return cbs_set_map(store, end + ROOM_TO_DELETE + expected);
    }
#else
    (void)store;
    (void)expected;
#endif
    return CBS_OK;
}

int cbs_write_begin(cbs_store *store, uint64_t expected, cbs_writer **out) {
    *out = NULL;
    if (store->read_only) return CBS_READ_ONLY;
    if (store->writing) return CBS_BUSY;
    if (store->commits_until_sweep == 0) {
        int dead = 0;
        (void)cbs_sweep_readers(store, &dead);
        store->commits_until_sweep = COMMITS_BETWEEN_SWEEPS;
    }
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int shortage = 0;
        int status = make_room(store, expected, &shortage);
        if (status == CBS_OK) status = cbs_enter(store, NULL);
        if (status != CBS_OK) return status;
        cbs_writer *writer = &store->writer;
        *writer = (cbs_writer){.store = store, .shortage = shortage};
        int code = mdb_txn_begin(store->env, NULL, 0, &writer->txn);
        if (code == MDB_SUCCESS) {
            status = cbs_record_read(store, writer->txn, &writer->record);
            if (status != CBS_OK) {
                mdb_txn_abort(writer->txn);
                cbs_leave(store);
                return status == CBS_FOREIGN ? CBS_CORRUPT : status;
            }
            // Pages that another process has brought to the disk since are not new.
            if (mdb_txn_id(writer->txn) != store->last_commit + 1) store->fresh = cbs_used_end(store);
            store->writing = true;
            *out = writer;
            return CBS_OK;
        }
        cbs_leave(store);
        if (code != MDB_MAP_RESIZED) return cbs_status(code);
        status = cbs_adopt_map(store);
        if (status != CBS_OK) return status;
    }
    return CBS_BROKEN;
}

/// A map that was made to end with the file is not too small: there is no room.
static int write_status(const cbs_writer *writer, int code) {
    return code == MDB_MAP_FULL && writer->shortage != 0 ? writer->shortage : cbs_status(code);
}

int cbs_write_put(cbs_writer *writer, const void *key, size_t key_size, const void *value, size_t value_size,
                  bool *added) {
    *added = false;
    if (key_size == 0 || key_size > CBS_MAXIMUM_KEY_SIZE) return CBS_BAD_KEY;
    MDB_val name = {key_size, (void *)key}, bytes = {value_size, (void *)value};
    int code = mdb_put(writer->txn, writer->store->blocks, &name, &bytes, MDB_NOOVERWRITE);
    if (code == MDB_KEYEXIST) return CBS_OK;
    if (code != MDB_SUCCESS) return write_status(writer, code);
    *added = true;
    writer->changed = true;
    writer->record.bytes += value_size;
    writer->written += value_size;
    return CBS_OK;
}

int cbs_write_delete(cbs_writer *writer, const void *key, size_t key_size, bool *removed) {
    *removed = false;
    if (key_size == 0 || key_size > CBS_MAXIMUM_KEY_SIZE) return CBS_BAD_KEY;
    MDB_val name = {key_size, (void *)key}, old;
    int code = mdb_get(writer->txn, writer->store->blocks, &name, &old);
    if (code == MDB_NOTFOUND) return CBS_OK;
    if (code != MDB_SUCCESS) return cbs_status(code);
    uint64_t size = old.mv_size;
    code = mdb_del(writer->txn, writer->store->blocks, &name, NULL);
    if (code != MDB_SUCCESS) return write_status(writer, code);
    *removed = true;
    writer->changed = true;
    writer->record.bytes -= size <= writer->record.bytes ? size : writer->record.bytes;
    return CBS_OK;
}

static void finish(cbs_writer *writer) {
    cbs_store *store = writer->store;
    writer->txn = NULL;
    store->writing = false;
    cbs_leave(store);
}

void cbs_write_abort(cbs_writer *writer) {
    mdb_txn_abort(writer->txn);
    finish(writer);
}

/// LMDB reports a write that was cut short as EIO. Mostly the disk is full, or the file as large as it may be.
static int refined(cbs_store *store, int status, uint64_t written) {
    if (status != EIO) return status;
    const uint64_t near = written + (1u << 20);
    mdb_filehandle_t descriptor;
    struct statvfs disk;
    struct stat file;
    struct rlimit limit;
    if (mdb_env_get_fd(store->env, &descriptor) != MDB_SUCCESS) return status;
    if (fstatvfs(descriptor, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < near) return ENOSPC;
    if (fstat(descriptor, &file) == 0 && getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY
        && (uint64_t)file.st_size + near > (uint64_t)limit.rlim_cur)
        return EFBIG;
    return status;
}

/// Lets the disk begin with what a later sync will wait for. Nothing on the disk refers to pages that are new since the
/// last sync, so they may go there at any time; all others stay until the sync.
static void write_behind(cbs_store *store) {
#if defined(__linux__)
    const uint64_t end = cbs_used_end(store);
    mdb_filehandle_t descriptor;
    if (end < store->fresh + WRITE_BEHIND || mdb_env_get_fd(store->env, &descriptor) != MDB_SUCCESS) return;
    // What goes wrong is told by the sync.
    (void)sync_file_range(descriptor, (off_t)store->fresh, (off_t)(end - store->fresh), SYNC_FILE_RANGE_WRITE);
    store->fresh = end;
#else
    (void)store;
#endif
}

int cbs_write_commit(cbs_writer *writer) {
    cbs_store *store = writer->store;
    // What another process left unsynced may be the very block that was put here and found present.
    bool settles = writer->record.unsynced && !store->no_sync;
    if (!writer->changed && !settles) {
        cbs_write_abort(writer);
        return CBS_OK;
    }
    writer->record.unsynced = store->no_sync;
    int status = cbs_record_write(store, writer->txn, &writer->record);
    if (status != CBS_OK) {
        if (status == CBS_MAP_FULL && writer->shortage != 0) status = writer->shortage;
        cbs_write_abort(writer);
        return status;
    }
    const size_t transaction = mdb_txn_id(writer->txn);
    status = refined(store, write_status(writer, mdb_txn_commit(writer->txn)), writer->written);
    if (status == CBS_OK) {
        store->last_commit = transaction;
        if (store->commits_until_sweep > 0) store->commits_until_sweep--;
        if (store->no_sync) write_behind(store);
    }
    finish(writer);
    return status;
}

int cbs_free_pages(cbs_store *store) {
    cbs_writer *writer = NULL;
    int status = cbs_write_begin(store, 0, &writer);
    if (status != CBS_OK) return status;
    if (mdb_txn_id(writer->txn) == store->freed + 1) {
        cbs_write_abort(writer);
        return CBS_NOT_FOUND;
    }
    writer->changed = true;
    status = cbs_write_commit(writer);
    if (status == CBS_OK) store->freed = store->last_commit;
    return status;
}

bool cbs_write_is_alone(cbs_store *store) {
    if (cbs_enter(store, NULL) != CBS_OK) return false;
    MDB_envinfo info;
    const bool is_alone = mdb_env_info(store->env, &info) == MDB_SUCCESS && info.me_last_txnid == store->last_commit;
    cbs_leave(store);
    return is_alone;
}
