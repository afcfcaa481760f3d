// Writing: one transaction at a time, on one thread.
#include <errno.h>
#include <sys/statvfs.h>

#include "internal.h"

#define ATTEMPTS 64
#define COMMITS_BETWEEN_SWEEPS 128

int cbs_write_begin(cbs_store *store, cbs_writer **out) {
    *out = NULL;
    if (store->read_only) return CBS_READ_ONLY;
    if (store->writing) return CBS_BUSY;
    if (store->commits_until_sweep == 0) {
        int dead = 0;
        (void)cbs_sweep_readers(store, &dead);
        store->commits_until_sweep = COMMITS_BETWEEN_SWEEPS;
    }
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        int status = cbs_enter(store, NULL);
        if (status != CBS_OK) return status;
        cbs_writer *writer = &store->writer;
        *writer = (cbs_writer){.store = store};
        int code = mdb_txn_begin(store->env, NULL, 0, &writer->txn);
        if (code == MDB_SUCCESS) {
            status = cbs_record_read(store, writer->txn, &writer->record);
            if (status != CBS_OK) {
                mdb_txn_abort(writer->txn);
                cbs_leave(store);
                return status == CBS_FOREIGN ? CBS_CORRUPT : status;
            }
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

int cbs_write_put(cbs_writer *writer, const void *key, size_t key_size, const void *value, size_t value_size,
                  bool *added) {
    *added = false;
    if (key_size == 0 || key_size > CBS_MAXIMUM_KEY_SIZE) return CBS_BAD_KEY;
    MDB_val name = {key_size, (void *)key}, bytes = {value_size, (void *)value};
    int code = mdb_put(writer->txn, writer->store->blocks, &name, &bytes, MDB_NOOVERWRITE);
    if (code == MDB_KEYEXIST) return CBS_OK;
    if (code != MDB_SUCCESS) return cbs_status(code);
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
    if (code != MDB_SUCCESS) return cbs_status(code);
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

/// LMDB reports a write that was cut short as EIO; mostly the disk is full.
static int refined(cbs_store *store, int status, uint64_t written) {
    if (status != EIO) return status;
    mdb_filehandle_t descriptor;
    struct statvfs disk;
    if (mdb_env_get_fd(store->env, &descriptor) != MDB_SUCCESS || fstatvfs(descriptor, &disk) != 0) return status;
    uint64_t free_bytes = (uint64_t)disk.f_bavail * (uint64_t)disk.f_frsize;
    return free_bytes < written + (1u << 20) ? ENOSPC : status;
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
        cbs_write_abort(writer);
        return status;
    }
    status = refined(store, cbs_status(mdb_txn_commit(writer->txn)), writer->written);
    if (status == CBS_OK && store->commits_until_sweep > 0) store->commits_until_sweep--;
    finish(writer);
    return status;
}
