#pragma once
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define isfinite(x) __builtin_isfinite(x)
#define isinf(x) __builtin_isinf(x)
#define isnan(x) __builtin_isnan(x)
/* Instructions on aarch64 and x86-64, never calls. */
#define fabs __builtin_fabs
#define fabsf __builtin_fabsf
#define sqrt __builtin_sqrt
double exp(double);
float expf(float);
float floorf(float);
float fmaxf(float, float);
float fminf(float, float);
float nearbyintf(float);
float rintf(float);
float roundf(float);
float sqrtf(float);
