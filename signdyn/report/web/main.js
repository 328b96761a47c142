// The page is complete without a script; this makes it answer to the reader.

setUpTheme();
setUpClaims(setUpFilter());
document.querySelectorAll(".stepper").forEach(setUpStepper);
