/*
 * The unwinder of GCC uses threads where it finds one function of theirs, and asks for the others weakly, which takes none
 * out of an archive: in a static program they must come along.
 */
#include <pthread.h>

__attribute__((used)) static void *const functions[] = {
    pthread_getspecific,  pthread_key_create, pthread_mutex_lock,
    pthread_mutex_unlock, pthread_once,       pthread_setspecific,
};
