// Opening, closing, and the gate that keeps transactions and changes of the map apart.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "internal.h"

#define FILE_MODE 0600
#define SMALLEST_MAP (64u * 1024u)
#define LARGEST_STEP (64ull << 30)
#define ROOM_TO_BEGIN (256u * 1024u)

static const char blocks_name[] = "blocks";
static const char meta_name[] = "swift-bitswap";
static const char record_key[] = "store";
static const uint8_t record_magic[8] = {'S', 'w', 'B', 'l', 'o', 'c', 'k', 's'};
#define RECORD_SIZE 32

int cbs_status(int code) {
    switch (code) {
    case MDB_SUCCESS: return CBS_OK;
    case MDB_NOTFOUND: return CBS_NOT_FOUND;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND: return CBS_CORRUPT;
    case MDB_PANIC: return CBS_BROKEN;
    case MDB_INVALID:
    case MDB_INCOMPATIBLE: return CBS_FOREIGN;
    case MDB_VERSION_MISMATCH: return CBS_OTHER_LMDB;
    case MDB_MAP_FULL: return CBS_MAP_FULL;
    case MDB_READERS_FULL: return CBS_READERS_FULL;
    case MDB_BAD_VALSIZE: return CBS_BAD_KEY;
    default: return code;
    }
}

void cbs_describe(int status, char *text, size_t capacity) {
    if (capacity == 0) return;
    const char *words = NULL;
    switch (status) {
    case CBS_OK: words = "no error"; break;
    case CBS_NOT_FOUND: words = "not found"; break;
    case CBS_CLOSED: words = "closed"; break;
    case CBS_FOREIGN: words = "not a block store"; break;
    case CBS_NEWER: words = "a later format"; break;
    case CBS_CORRUPT: words = "damaged"; break;
    case CBS_MAP_FULL: words = "the map is full"; break;
    case CBS_MAP_LIMIT: words = "the map is at its limit"; break;
    case CBS_READERS_FULL: words = "too many readers"; break;
    case CBS_BAD_KEY: words = "a key of bad length"; break;
    case CBS_BROKEN: words = "unusable after an earlier error"; break;
    case CBS_READ_ONLY: words = "opened to read"; break;
    case CBS_OTHER_LMDB: words = "written by another LMDB"; break;
    case CBS_NO_STORE: words = "no store here"; break;
    case CBS_BUSY: words = "a write transaction is open"; break;
    default: break;
    }
    if (words == NULL && status < 0) words = mdb_strerror(status);  // constants of LMDB
    if (words != NULL) {
        snprintf(text, capacity, "%s", words);
        return;
    }
    char system[128];
    system[0] = 0;
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
    const char *found = strerror_r(status, system, sizeof system);
    snprintf(text, capacity, "%s", found);
#else
    if (strerror_r(status, system, sizeof system) != 0) snprintf(system, sizeof system, "error %d", status);
    snprintf(text, capacity, "%s", system);
#endif
}

// MARK: The gate

int cbs_enter(cbs_store *store, cbs_reader **idle) {
    if (idle != NULL) *idle = NULL;
    pthread_mutex_lock(&store->lock);
    while (store->exclusive) pthread_cond_wait(&store->changed, &store->lock);
    int status = store->closed ? CBS_CLOSED : store->broken ? CBS_BROKEN : CBS_OK;
    if (status == CBS_OK) {
        store->active++;
        if (idle != NULL && store->idle_count > 0) *idle = store->idle[--store->idle_count];
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

void cbs_leave(cbs_store *store) {
    pthread_mutex_lock(&store->lock);
    store->active--;
    bool last = store->exclusive && store->active == 0;
    pthread_mutex_unlock(&store->lock);
    if (last) pthread_cond_broadcast(&store->changed);
}

int cbs_exclusive_begin(cbs_store *store) {
    pthread_mutex_lock(&store->lock);
    while (store->exclusive) pthread_cond_wait(&store->changed, &store->lock);
    int status = store->closed ? CBS_CLOSED : store->broken ? CBS_BROKEN : CBS_OK;
    if (status == CBS_OK) {
        store->exclusive = true;
        while (store->active > 0) pthread_cond_wait(&store->changed, &store->lock);
    }
    pthread_mutex_unlock(&store->lock);
    return status;
}

void cbs_exclusive_end(cbs_store *store) {
    pthread_mutex_lock(&store->lock);
    store->exclusive = false;
    pthread_mutex_unlock(&store->lock);
    pthread_cond_broadcast(&store->changed);
}

// MARK: The map

static uint64_t rounded_to_pages(uint64_t size) {
    long page = sysconf(_SC_PAGESIZE);
    uint64_t unit = page > 0 ? (uint64_t)page : 4096;
    if (unit < 4096) unit = 4096;
    if (size > UINT64_MAX - unit) return size / unit * unit;
    return (size + unit - 1) / unit * unit;
}

/// Called with the gate closed.
static int set_map_size(cbs_store *store, uint64_t size) {
    if (size > SIZE_MAX) return CBS_MAP_LIMIT;
    int code = mdb_env_set_mapsize(store->env, (size_t)size);
    // LMDB gives up its old map first: after a failure there is none, and any access would be to freed memory.
    if (code != MDB_SUCCESS) store->broken = true;
    return cbs_status(code);
}

int cbs_set_map(cbs_store *store, uint64_t size) {
    int status = cbs_exclusive_begin(store);
    if (status != CBS_OK) return status;
    status = set_map_size(store, size == 0 ? 0 : rounded_to_pages(size));
    cbs_exclusive_end(store);
    return status;
}

uint64_t cbs_used_end(cbs_store *store) {
    MDB_envinfo info;
    return mdb_env_info(store->env, &info) == MDB_SUCCESS ? ((uint64_t)info.me_last_pgno + 1) * store->page_size : 0;
}

int cbs_adopt_map(cbs_store *store) { return cbs_set_map(store, 0); }

int cbs_grow(cbs_store *store, uint64_t needed) {
    // A dead reader keeps pages from being used again: without it there may be room.
    int dead = 0;
    int status = cbs_sweep_readers(store, &dead);
    if (status != CBS_OK || dead > 0) return status;
    status = cbs_exclusive_begin(store);
    if (status != CBS_OK) return status;
    MDB_envinfo info;
    status = cbs_status(mdb_env_info(store->env, &info));
    if (status == CBS_OK) {
        uint64_t old = info.me_mapsize;
        uint64_t step = old < LARGEST_STEP ? old : LARGEST_STEP;
        // Beside the values: their page headers, the tree's pages, the free list.
        uint64_t least = needed > UINT64_MAX / 4 ? UINT64_MAX / 2 : needed + needed / 8 + SMALLEST_MAP;
        if (step < least) step = least;
        uint64_t wanted = rounded_to_pages(old > UINT64_MAX - step ? UINT64_MAX : old + step);
        if (wanted > store->map_limit) wanted = store->map_limit / 4096 * 4096;
        status = wanted <= old ? CBS_MAP_LIMIT : set_map_size(store, wanted);
    }
    cbs_exclusive_end(store);
    return status;
}

// MARK: The record

static void store_le(uint8_t *to, uint64_t value, size_t size) {
    for (size_t i = 0; i < size; i++) to[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t load_le(const uint8_t *from, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) value |= (uint64_t)from[i] << (8 * i);
    return value;
}

int cbs_record_read(cbs_store *store, MDB_txn *txn, cbs_record *record) {
    MDB_val key = {sizeof record_key - 1, (void *)record_key}, value;
    int status = cbs_status(mdb_get(txn, store->meta, &key, &value));
    if (status == CBS_NOT_FOUND) return CBS_FOREIGN;
    if (status != CBS_OK) return status;
    const uint8_t *bytes = value.mv_data;
    if (value.mv_size < 12 || memcmp(bytes, record_magic, sizeof record_magic) != 0) return CBS_FOREIGN;
    record->version = (uint32_t)load_le(bytes + 8, 4);
    if (record->version > CBS_FORMAT_VERSION) return CBS_NEWER;
    if (record->version == 0 || value.mv_size != RECORD_SIZE) return CBS_CORRUPT;
    record->unsynced = (load_le(bytes + 12, 4) & 1) != 0;
    record->bytes = load_le(bytes + 16, 8);
    return CBS_OK;
}

int cbs_record_write(cbs_store *store, MDB_txn *txn, const cbs_record *record) {
    uint8_t bytes[RECORD_SIZE] = {0};
    memcpy(bytes, record_magic, sizeof record_magic);
    store_le(bytes + 8, record->version, 4);
    store_le(bytes + 12, record->unsynced ? 1 : 0, 4);
    store_le(bytes + 16, record->bytes, 8);
    MDB_val key = {sizeof record_key - 1, (void *)record_key}, value = {sizeof bytes, bytes};
    return cbs_status(mdb_put(txn, store->meta, &key, &value, 0));
}

// MARK: Opening and closing

/// Finds our databases, or creates them in an empty file.
static int open_databases(cbs_store *store, bool create) {
    MDB_txn *txn = NULL;
    int status = cbs_status(mdb_txn_begin(store->env, NULL, create ? 0 : MDB_RDONLY, &txn));
    if (status != CBS_OK) return status;
    MDB_dbi root;
    MDB_stat contents;
    cbs_record record = {.version = CBS_FORMAT_VERSION, .bytes = 0, .unsynced = store->no_sync};
    bool created = false;

    status = cbs_status(mdb_dbi_open(txn, NULL, 0, &root));
    if (status == CBS_OK) status = cbs_status(mdb_stat(txn, root, &contents));
    if (status == CBS_OK) status = cbs_status(mdb_dbi_open(txn, meta_name, 0, &store->meta));
    if (status == CBS_NOT_FOUND) {
        // Something else lives here, or nothing yet.
        if (contents.ms_entries != 0) status = CBS_FOREIGN;
        else if (!create) status = CBS_NO_STORE;
        else {
            created = true;
            status = cbs_status(mdb_dbi_open(txn, meta_name, MDB_CREATE, &store->meta));
            if (status == CBS_OK) status = cbs_status(mdb_dbi_open(txn, blocks_name, MDB_CREATE, &store->blocks));
            if (status == CBS_OK) status = cbs_record_write(store, txn, &record);
        }
    } else if (status == CBS_OK) {
        status = cbs_record_read(store, txn, &record);
        if (status == CBS_OK) {
            status = cbs_status(mdb_dbi_open(txn, blocks_name, 0, &store->blocks));
            if (status == CBS_NOT_FOUND) status = CBS_CORRUPT;
        }
    }
    if (status != CBS_OK) {
        mdb_txn_abort(txn);
        return status;
    }
    status = cbs_status(mdb_txn_commit(txn));
    return status == CBS_OK && created ? cbs_status(mdb_env_sync(store->env, 1)) : status;
}

/// A file's name must be on the disk too, not only its bytes.
static int sync_directory(const char *path) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return errno;
    // Some file systems cannot sync a directory (EINVAL); then there is nothing to be done.
    int status = fsync(descriptor) == 0 || errno == EINVAL || errno == EROFS ? CBS_OK : errno;
    close(descriptor);
    return status;
}

static int open_environment(cbs_store *store, const cbs_options *options) {
    unsigned flags = MDB_NOTLS;
    if (options->read_only) flags |= MDB_RDONLY;
    if (options->no_sync) flags |= MDB_NOSYNC;
    // Less than this does not hold the databases themselves.
    uint64_t size = options->initial_map_size;
    size = rounded_to_pages(size < SMALLEST_MAP ? SMALLEST_MAP : size);
    for (;;) {
        if (size > SIZE_MAX / 2) return CBS_MAP_LIMIT;
        int code = mdb_env_create(&store->env);
        if (code != MDB_SUCCESS) return cbs_status(code);
        code = mdb_env_set_maxdbs(store->env, 8);
        if (code == MDB_SUCCESS) code = mdb_env_set_maxreaders(store->env, options->maximum_readers);
        if (code == MDB_SUCCESS) code = mdb_env_set_mapsize(store->env, (size_t)size);
        if (code == MDB_SUCCESS) code = mdb_env_open(store->env, options->path, flags, FILE_MODE);
        if (code == MDB_SUCCESS) return CBS_OK;
        mdb_env_close(store->env);
        store->env = NULL;
        // Little address space (ulimit -v): a smaller map may fit, and grows when it must.
        if (code != ENOMEM || size <= SMALLEST_MAP * 16) return cbs_status(code);
        size = rounded_to_pages(size / 4);
    }
}

/// LMDB makes its lock file as a hole and writes to it through a map: on a full disk that is a bus error. So its blocks
/// are taken beforehand. Once it has a size it belongs to LMDB.
static int reserve_lock_file(const char *lock_path, const cbs_options *options) {
    int descriptor = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    if (descriptor < 0) return options->read_only && errno == EROFS ? CBS_OK : errno;
    int status = CBS_OK;
#if defined(__linux__)
    struct stat file;
    if (fstat(descriptor, &file) != 0) {
        status = errno;
    } else if (file.st_size == 0) {
        // A reader takes a cache line, as does each of the two locks in front.
        off_t size = (off_t)rounded_to_pages(((uint64_t)options->maximum_readers + 8) * 64);
        do status = posix_fallocate(descriptor, 0, size);
        while (status == EINTR);
        if (status == EINVAL || status == EOPNOTSUPP) status = CBS_OK;
    }
#endif
    close(descriptor);
    return status;
}

/// What can be known before LMDB touches anything.
static int prepare(const char *directory, const cbs_options *options) {
    size_t length = strlen(directory);
    char *path = malloc(length + sizeof "/data.mdb");
    if (path == NULL) return ENOMEM;
    memcpy(path, directory, length);
    memcpy(path + length, "/data.mdb", sizeof "/data.mdb");
    struct stat existing;
    struct statvfs disk;
    int status = CBS_OK;
    if (stat(path, &existing) != 0 || existing.st_size == 0) {
        // LMDB would leave half a file behind on a full disk.
        if (options->read_only) status = CBS_NO_STORE;
        else if (statvfs(directory, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < ROOM_TO_BEGIN)
            status = ENOSPC;
    } else {
        status = cbs_inspect_file(path);
    }
    if (status == CBS_OK) {
        memcpy(path + length, "/lock.mdb", sizeof "/lock.mdb");
        status = reserve_lock_file(path, options);
    }
    free(path);
    return status;
}

static int open_store(cbs_store *store, const cbs_options *options) {
    int status = prepare(options->path, options);
    if (status == CBS_OK) status = open_environment(store, options);
    if (status != CBS_OK) return status;
    MDB_stat shape;
    status = cbs_status(mdb_env_stat(store->env, &shape));
    if (status != CBS_OK) return status;
    store->page_size = shape.ms_psize;
    int major = 0, minor = 0;
    (void)mdb_version(&major, &minor, NULL);
    long page = sysconf(_SC_PAGESIZE);
    store->checks_values = major == 0 && minor == 9 && page > 0 && store->page_size <= (size_t)page;

    int dead = 0;
    (void)mdb_reader_check(store->env, &dead);
    status = cbs_inspect_length(store->env);
    if (status != CBS_OK) return status;
    status = open_databases(store, false);
    if (status == CBS_NO_STORE && !options->read_only) {
        status = open_databases(store, true);
        if (status == CBS_OK) status = sync_directory(options->path);
    }
    return status;
}

int cbs_open(const cbs_options *options, cbs_store **out) {
    *out = NULL;
    cbs_store *store = calloc(1, sizeof *store);
    if (store == NULL) return ENOMEM;
    store->map_limit = options->map_limit;
    store->read_only = options->read_only;
    store->no_sync = options->no_sync;
    int code = pthread_mutex_init(&store->lock, NULL);
    if (code != 0) {
        free(store);
        return code;
    }
    code = pthread_cond_init(&store->changed, NULL);
    if (code != 0) {
        pthread_mutex_destroy(&store->lock);
        free(store);
        return code;
    }
    code = open_store(store, options);
    if (code != CBS_OK) {
        cbs_free(store);
        return code;
    }
    MDB_envinfo info;
    if (mdb_env_info(store->env, &info) == MDB_SUCCESS) store->last_commit = info.me_last_txnid;
    store->fresh = cbs_used_end(store);
    *out = store;
    return CBS_OK;
}

void cbs_shut(cbs_store *store) {
    pthread_mutex_lock(&store->lock);
    while (store->exclusive) pthread_cond_wait(&store->changed, &store->lock);
    if (!store->closed) {
        store->exclusive = true;
        while (store->active > 0) pthread_cond_wait(&store->changed, &store->lock);
        for (size_t i = 0; i < store->idle_count; i++) {
            mdb_txn_abort(store->idle[i]->txn);
            free(store->idle[i]);
        }
        store->idle_count = 0;
        if (store->env != NULL) mdb_env_close(store->env);
        store->env = NULL;
        store->closed = true;
        store->exclusive = false;
        pthread_cond_broadcast(&store->changed);
    }
    pthread_mutex_unlock(&store->lock);
}

void cbs_free(cbs_store *store) {
    if (store == NULL) return;
    cbs_shut(store);
    pthread_cond_destroy(&store->changed);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

// MARK: Upkeep

int cbs_sync(cbs_store *store) {
    int status = cbs_enter(store, NULL);
    if (status != CBS_OK) return status;
    status = store->read_only ? CBS_OK : cbs_status(mdb_env_sync(store->env, 1));
    store->fresh = cbs_used_end(store);
    cbs_leave(store);
    return status;
}

int cbs_sweep_readers(cbs_store *store, int *dead) {
    *dead = 0;
    int status = cbs_enter(store, NULL);
    if (status != CBS_OK) return status;
    status = cbs_status(mdb_reader_check(store->env, dead));
    cbs_leave(store);
    return status;
}
