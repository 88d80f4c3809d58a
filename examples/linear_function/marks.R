# How many points an exam brings after so many hours of learning: a straight line through ten measurements.

exams <- data.frame(
  hours = c(1, 2, 2.5, 3, 4, 5, 6, 7, 8, 9.5),
  points = c(22, 31, 30, 41, 48, 53, 67, 70, 84, 92)
)
line <- lm(points ~ hours, data = exams)

predictor <- function(hours, bonus = 0) {
  if (hours < 0) {
    stop("nobody learns for ", hours, " hours")
  }
  points <- predict(line, data.frame(hours = hours)) + bonus
  list(points = unname(round(points, 1)))
}
