/* Error sentences. */
#ifndef TFCONFORMER_CORE_MESSAGE_H_
#define TFCONFORMER_CORE_MESSAGE_H_

enum { MESSAGE_SIZE = 160 }; /* bytes of a sentence, its end included */

#endif
