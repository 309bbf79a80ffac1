/* The few functions of Java that the libraries call, without Java: a string is a C string, an array of numbers a count
 * and its numbers. */
#ifndef TFCONFORMER_FAKE_JAVA_H_
#define TFCONFORMER_FAKE_JAVA_H_

#include <jni.h>
#include <stdbool.h>

typedef struct {
  jint count;
  jfloat* values;
} Floats;

/* Its functions can be replaced before `load_library`. */
extern struct JNINativeInterface_ java_functions;

/* Loads a library as Android's runtime does, whose methods are those of a class; prints why it fails. */
bool load_library(const char* path, const char* class_name);
/* A method that the library has registered; NULL if there is none of that name. */
void* find_method(const char* name);
JNIEnv* java_environment(void);

#endif
