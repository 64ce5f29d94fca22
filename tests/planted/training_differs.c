/* Evaluation gives something else than training, without any noise. */
#define ID "training_differs"
#define AFTER_FORWARD \
  if (step->training) y[0] += (lra_real)0.01;
#include "tests/planted/planted.h"
