from dataiku.apinode.predict import predictor

__all__ = ["predictor"]
