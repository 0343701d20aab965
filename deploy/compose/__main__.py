"""`python -m deploy.compose`: makes the secrets and the `.env` that compose.yaml names."""

from deploy.compose.preparing import prepare

if __name__ == "__main__":
    for line in prepare():
        print(line)
