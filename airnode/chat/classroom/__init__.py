"""What people in a class do besides writing: polls, hands, questions, reactions, and what the teacher decides."""
